package main

import (
	"slices"

	"github.com/spf13/cobra"
)

func (a *app) completionCmd() *cobra.Command {
	shells := []string{"bash", "zsh", "fish", "powershell"}
	one := func(cmd *cobra.Command, args []string) error {
		if err := a.oneArg(cmd, args); err != nil {
			return err
		}
		if !slices.Contains(shells, args[0]) {
			return misuse(cmd, "", "error.unknown-shell", "Name", args[0])
		}
		return nil
	}
	cmd := a.command("completion SHELL", "completion", one, func(cmd *cobra.Command, args []string) error {
		root := cmd.Root()
		switch args[0] {
		case "bash":
			return root.GenBashCompletionV2(a.stdout, true)
		case "zsh":
			return root.GenZshCompletion(a.stdout)
		case "fish":
			return root.GenFishCompletion(a.stdout, true)
		}
		return root.GenPowerShellCompletionWithDesc(a.stdout)
	})
	cmd.ValidArgs = shells
	return cmd
}
