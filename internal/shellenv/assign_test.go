//go:build unix

package shellenv

import (
	"errors"
	"os/exec"
	"testing"
)

// TestAssign runs the lines in the shells that they are for.
func TestAssign(t *testing.T) {
	const value = "a b\\c $HOME `id` \"x\" 'y' *"
	for sh, printing := range map[Shell]string{
		Sh: `printf %s "$GOFERRY_TEST"`, Bash: `printf %s "$GOFERRY_TEST"`, Zsh: `printf %s "$GOFERRY_TEST"`, Fish: `printf %s "$GOFERRY_TEST"`,
	} {
		line, err := Assign(sh, "GOFERRY_TEST", value)
		if err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(string(sh), "-c", line+printing).CombinedOutput()
		if err != nil || string(out) != value {
			t.Errorf("%s: %s says %q, %v", sh, line, out, err)
		}
	}
	for sh, want := range map[Shell]string{
		Nushell: "$env.X = \"a \\\"b\\\"\"\n", PowerShell: "$env:X = 'a \"b\"'\n", Cmd: "set \"X=a \"b\"\"\r\n",
	} {
		if got, err := Assign(sh, "X", `a "b"`); err != nil || got != want {
			t.Errorf("%s: %q, %v", sh, got, err)
		}
	}
	if _, err := Assign("csh", "X", "y"); !errors.Is(err, ErrShell) {
		t.Errorf("csh: %v", err)
	}
}
