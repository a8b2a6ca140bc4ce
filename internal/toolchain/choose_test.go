package toolchain

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/goferry/goferry/internal/goproxy"
)

func chooseKnown() []Version {
	var known []Version
	for _, v := range listVersions {
		known = append(known, Version(v))
	}
	return known
}

func TestChoose(t *testing.T) {
	stable := slices.DeleteFunc(chooseKnown(), func(v Version) bool { return !v.Stable() })
	for name, c := range map[string]struct {
		query, goMod string
		known        []Version // all if nil
		want         Version
		is           error  // where there is none
		near         string // then
	}{
		"latest":                     {query: "latest", want: "go1.99.1"},
		"stable":                     {query: "stable", want: "go1.99.1"},
		"oldstable":                  {query: "oldstable", want: "go1.98.5"},
		"newest pre-release":         {query: "rc", want: "go1.100rc2"},
		"none is newer":              {query: "rc", known: stable, is: ErrNoCandidate, near: "1.99.1, 1.98.5, 1.97.2, 1.21.13, 1.20.14"},
		"pre-release that was":       {query: "1.99rc", want: "go1.99rc1"},
		"beta of a minor":            {query: "1.99beta", is: ErrNotListed, near: "1.99.1, 1.99.0, 1.99rc1"},
		"minor":                      {query: "1.98", want: "go1.98.5"},
		"minor with go":              {query: "go1.98", want: "go1.98.5"},
		"minor with a pre-release":   {query: "1.99", want: "go1.99.1"},
		"minor of pre-releases only": {query: "1.100", is: ErrNotListed, near: "1.100rc2, 1.100rc1"},
		"old minor":                  {query: "1.20", want: "go1.20.14"},
		"all minors":                 {query: "1", want: "go1.99.1"},
		"exact":                      {query: "1.98.4", want: "go1.98.4"},
		"exact with go":              {query: "go1.98.4", want: "go1.98.4"},
		"exact pre-release":          {query: "1.100rc1", want: "go1.100rc1"},
		"first of an old minor":      {query: "1.20.0", want: "go1.20"},
		"first of a new minor":       {query: "1.21.0", want: "go1.21.0"},
		"no such patch":              {query: "1.98.7", is: ErrNotListed, near: "1.98.5, 1.98.4, 1.98.0"},
		"no such minor":              {query: "1.50.2", is: ErrNotListed, near: "1.99.1, 1.98.5, 1.97.2, 1.21.13, 1.20.14"},
		"not a version":              {query: "gopher", is: ErrVersion, near: "1.99.1, 1.98.5, 1.97.2, 1.21.13, 1.20.14"},
		"nothing":                    {query: "", is: ErrVersion, near: "1.99.1, 1.98.5, 1.97.2, 1.21.13, 1.20.14"},
		"exact without a list":       {query: "1.98.4", known: []Version{}, want: "go1.98.4"},
		"minor without a list":       {query: "1.98", known: []Version{}, is: ErrNotListed},
		"latest without a list":      {query: "latest", known: []Version{}, is: ErrNotListed},

		"toolchain line":            {query: "go.mod", goMod: "module a\n\ngo 1.97.0\n\ntoolchain go1.98.4\n", want: "go1.98.4"},
		"go line":                   {query: "go.mod", goMod: "module a\n\ngo 1.97.0\n", want: "go1.97.0"},
		"go line of a minor":        {query: "go.mod", goMod: "module a\n\ngo 1.97\n", want: "go1.97.2"},
		"go line that is newer":     {query: "go.mod", goMod: "go 1.99.0\ntoolchain go1.98.4\n", want: "go1.99.0"},
		"toolchain default":         {query: "go.mod", goMod: "go 1.98.0 // why\ntoolchain default\n", want: "go1.98.0"},
		"toolchain local":           {query: "go.mod", goMod: "go 1.98.0\ntoolchain local\n", want: "go1.98.0"},
		"default and no go line":    {query: "go.mod", goMod: "module a\ntoolchain default\n", is: ErrNoGoLine, near: "1.99.1, 1.98.5, 1.97.2, 1.21.13, 1.20.14"},
		"neither line":              {query: "go.mod", goMod: "module a\n", is: ErrNoGoLine, near: "1.99.1, 1.98.5, 1.97.2, 1.21.13, 1.20.14"},
		"go.work":                   {query: "go.work", goMod: "go 1.98.4\n\nuse (\n\t./a\n\t./b\n)\n", want: "go1.98.4"},
		"lines of the time to come": {query: "go.mod", goMod: "module a\n\ngo 1.98.4\n\nferry x/y v1.0.0 => z\n\ncargo (\n\tnew\n)\n", want: "go1.98.4"},
		"a toolchain of somebody":   {query: "go.mod", goMod: "module a\ngo 1.97.0\ntoolchain go1.98.4-mine\n", is: ErrCustom, near: "1.98.5, 1.98.4, 1.98.0"},
		"no version in the line":    {query: "go.mod", goMod: "module a\ntoolchain gopher\n", is: ErrVersion, near: "1.99.1, 1.98.5, 1.97.2, 1.21.13, 1.20.14"},
		"a go line nobody has":      {query: "go.mod", goMod: "module a\ngo 1.98.9\n", is: ErrNotListed, near: "1.98.5, 1.98.4, 1.98.0"},
		"broken":                    {query: "go.mod", goMod: "module (\n", is: ErrGoMod, near: "1.99.1, 1.98.5, 1.97.2, 1.21.13, 1.20.14"},
	} {
		known := c.known
		if known == nil {
			known = chooseKnown()
		}
		before := slices.Clone(known)
		got, err := Choose(c.query, known, []byte(c.goMod))
		if !slices.Equal(before, known) {
			t.Errorf("%s: the list was changed", name)
		}
		if c.is == nil {
			if err != nil || got != c.want {
				t.Errorf("%s: %q, %v, want %q", name, got, err, c.want)
			}
			continue
		}
		var choice *ChoiceError
		if got != "" || !errors.Is(err, c.is) || !errors.As(err, &choice) || joinVersions(choice.Near) != c.near {
			t.Errorf("%s: %q, %v", name, got, err)
			continue
		}
		meaning := goproxy.ErrInvalid
		if c.is == ErrNotListed || c.is == ErrNoCandidate {
			meaning = goproxy.ErrNotExist
		}
		if !errors.Is(err, meaning) || !strings.Contains(err.Error(), c.query) {
			t.Errorf("%s: %v does not mean %v", name, err, meaning)
		}
	}
}

// Where a minor has many releases those around the one that was meant are named.
func TestChooseNear(t *testing.T) {
	var known []Version
	for _, n := range []string{"0", "1", "2", "3", "5", "6", "7", "8", "9", "10"} {
		known = append(known, Version("go1.25."+n))
	}
	for query, want := range map[string]string{
		"1.25.4":  "1.25.7, 1.25.6, 1.25.5, 1.25.3, 1.25.2",
		"1.25.99": "1.25.10, 1.25.9, 1.25.8, 1.25.7, 1.25.6",
		"1.25rc9": "1.25.5, 1.25.3, 1.25.2, 1.25.1, 1.25.0",
	} {
		_, err := Choose(query, known, nil)
		var choice *ChoiceError
		if !errors.As(err, &choice) || joinVersions(choice.Near) != want {
			t.Errorf("%s: %v, want %s", query, err, want)
		}
	}
}

func TestReleaseName(t *testing.T) {
	for v, want := range map[Version]Version{"go1.20.0": "go1.20", "go1.21.0": "go1.21.0", "go1.20": "go1.20", "go1.20.10": "go1.20.10", "go1.0": "go1", "go1.9rc2": "go1.9rc2"} {
		if got := ReleaseName(v); got != want {
			t.Errorf("%s: %s, want %s", v, got, want)
		}
	}
}

func TestSuperseded(t *testing.T) {
	known := chooseKnown()
	for v, want := range map[Version]Version{"go1.98.3": "go1.98.5", "go1.98.5": "", "go1.98.6": "", "go1.99rc1": "go1.99.1", "go1.100rc1": "go1.100rc2", "go1.100rc2": "", "go1.50.0": ""} {
		if got := Superseded(v, known); got != want {
			t.Errorf("%s is superseded by %q, want %q", v, got, want)
		}
	}
	if got := Superseded("go1.98.5", []Version{"go1.98.5", "go1.98rc1"}); got != "" {
		t.Errorf("superseded by %q, a pre-release", got)
	}
	for v, want := range map[Version]bool{"go1.99.0": true, "go1.98.0": true, "go1.97.2": false, "go1.100rc2": false, "go1.20": false} {
		if got := Supported(v, known); got != want {
			t.Errorf("%s: supported %v, want %v", v, got, want)
		}
	}
	if Supported("go1.98.0", nil) {
		t.Error("supported by nobody")
	}
}

// Whatever the query and the file, what is chosen is a release of the list.
func FuzzChoose(f *testing.F) {
	f.Add("go.mod", []byte("module a\n\ngo 1.98.0\n\ntoolchain go1.98.4\n"))
	f.Add("1.20.0", []byte(nil))
	f.Add("rc", []byte(nil))
	f.Add("1.99rc", []byte(nil))
	known := chooseKnown()
	f.Fuzz(func(t *testing.T, query string, goMod []byte) {
		got, err := Choose(query, known, goMod)
		var choice *ChoiceError
		if err == nil && !slices.Contains(known, got) || err != nil && (got != "" || !errors.As(err, &choice) || len(choice.Near) > nearVersions) {
			t.Errorf("%q: %q, %v", query, got, err)
		}
		if _, err := Choose(query, nil, goMod); err != nil && !errors.As(err, &choice) {
			t.Errorf("%q without a list: %v", query, err)
		}
	})
}
