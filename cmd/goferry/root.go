package main

import (
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/goferry/goferry/internal/config"
)

// rootCmd makes the command tree in the language of the user.
func (a *app) rootCmd() *cobra.Command {
	root := a.group("goferry", "root", a.serveCmd(), a.execCmd(), a.fetchCmd(), a.onCmd(), a.offCmd(), a.statusCmd(), a.mirrorsCmd(), a.sdkCmd(), a.cacheCmd(), a.configCmd(),
		a.versionCmd(), a.completionCmd(), a.envCmd(), a.doctorCmd(),
		a.graphCmd(), a.bundleCmd(), a.vendorCmd(), a.dockerfileCmd(), a.imageCmd(), a.buildCmd(), a.inspectCmd(), a.cgoCmd())
	root.SilenceErrors, root.SilenceUsage = true, true
	root.CompletionOptions.DisableDefaultCmd = true // completion is ours, in two languages
	root.SetHelpFunc(func(cmd *cobra.Command, _ []string) { a.help(cmd) })
	root.SetFlagErrorFunc(a.flagFault)
	root.PersistentFlags().String("lang", "", a.p.T("flag.lang"))
	root.PersistentFlags().String("config", "", a.p.T("flag.config"))
	root.PersistentFlags().BoolP("help", "h", false, a.p.T("flag.help"))
	root.SetHelpCommand(a.helpCmd(root))
	return root
}

// command makes a command whose texts are code.short, code.long and code.example.
func (a *app) command(use, code string, args cobra.PositionalArgs, run func(cmd *cobra.Command, args []string) error) *cobra.Command {
	return &cobra.Command{Use: use, Short: a.p.T(code + ".short"), Long: a.p.T(code + ".long"), Example: a.example(code + ".example"), Args: args, RunE: run}
}

// group makes a command that only has others below it.
func (a *app) group(use, code string, commands ...*cobra.Command) *cobra.Command {
	cmd := a.command(use, code, a.noCommand, func(cmd *cobra.Command, _ []string) error { return cmd.Help() })
	cmd.AddCommand(commands...)
	return cmd
}

// loaded reads the settings of a command before it runs.
func (a *app) loaded(run func(cmd *cobra.Command, cfg *config.Config, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		cfg, err := a.load(cmd)
		if err != nil {
			return err
		}
		return run(cmd, cfg, args)
	}
}

func (a *app) helpCmd(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:     "help [COMMAND]",
		Short:   a.p.T("help.short"),
		Example: "  goferry help serve\n  goferry help cache verify",
		RunE: func(_ *cobra.Command, args []string) error {
			cmd, rest, err := root.Find(args)
			if err == nil && len(rest) > 0 {
				err = a.noCommand(cmd, rest)
			}
			if err != nil {
				return err
			}
			return cmd.Help()
		},
	}
}

// shownFlags are the settings that help lists as flags of serve and exec; the others are flags as
// well, and `goferry config -v` lists them.
const shownFlags = " listen upstream cache cache-max-size offline sumdb private tls-cert tls-key log-level log-format "

// settingFlags makes a flag of each setting. Those of the server alone are left
// out where there is none.
func (a *app) settingFlags(fs *pflag.FlagSet, serving bool) {
	for _, s := range config.Table() {
		if s.Key == "lang" || s.TOML == "bundle.files" || s.TOML == "bundle.trust" || !serving && (s.Key == "listen" || strings.HasPrefix(s.Key, "tls.cert") || strings.HasPrefix(s.Key, "tls.key")) {
			continue
		}
		f := fs.VarPF(&settingValue{kind: s.Type}, s.Flag, "", a.flagText(s))
		if s.Type == config.TypeBool {
			f.NoOptDefVal = "true"
		}
		f.Hidden = !strings.Contains(shownFlags, " "+s.Flag+" ")
	}
}

// settingFlag makes the flag of one setting, which help shows.
func (a *app) settingFlag(fs *pflag.FlagSet, key string) {
	for _, s := range config.Table() {
		if s.Key == key {
			fs.VarPF(&settingValue{kind: s.Type}, s.Flag, "", a.flagText(s))
		}
	}
}

// settingValue is the text of a flag; room config reads it.
type settingValue struct {
	text string
	kind config.Type
}

func (v *settingValue) String() string { return v.text }

// Set takes the text. Of a list that is given twice both are meant.
func (v *settingValue) Set(text string) error {
	if v.kind == config.TypeList && v.text != "" {
		text = v.text + "," + text
	}
	v.text = text
	return nil
}

// Type is the word that help shows for the value.
func (v *settingValue) Type() string { return v.kind.String() }

// flagText is the description of a setting, with its default.
func (a *app) flagText(s config.Setting) string {
	d := a.p.T(s.Code)
	if s.Default != "" && s.Default != "false" {
		d = a.p.T("flag.described", "What", d, "Value", s.Default)
	}
	return d
}

// flagsSet are the flags that the user gave. Some commands have a --bundle that is no setting.
func flagsSet(fs *pflag.FlagSet) map[string]string {
	set := map[string]string{}
	fs.Visit(func(f *pflag.Flag) {
		if _, ok := f.Value.(*settingValue); ok || f.Name != "bundle" && f.Name != "trust" {
			set[f.Name] = f.Value.String()
		}
	})
	return set
}
