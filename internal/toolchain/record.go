package toolchain

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

// A Record says how a toolchain came to be installed. It lies beside the tree, never in
// it: the tree is byte for byte what was released.
type Record struct {
	Target
	H1        string    `json:"h1"`        // of the tree, as the checksum database has it
	Source    string    `json:"source"`    // the place the bytes came from, without credentials
	File      string    `json:"file"`      // what was downloaded; empty for an imported tree
	FileBytes int64     `json:"fileBytes"` // its size
	Bytes     int64     `json:"bytes"`     // of the tree
	Proofs    []Proof   `json:"proofs"`
	Installed time.Time `json:"installed"`
}

// Installed returns what is installed in h, newest version first. A tree without a
// Record is there with its Target alone: an installation that something else made, or
// whose record was lost. A Home that does not exist is empty.
func (h Home) Installed() ([]Record, error) {
	entries, err := os.ReadDir(h.SDKs())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var recs []Record
	for _, e := range entries {
		t, ok := targetOf(e.Name())
		if !ok || !e.IsDir() {
			continue
		}
		rec, err := h.Record(t)
		if err != nil {
			rec = Record{Target: t}
		}
		recs = append(recs, rec)
	}
	sortNewestFirst(recs)
	return recs, nil
}

// Record reads the record of t. The error matches fs.ErrNotExist where there is none.
func (h Home) Record(t Target) (Record, error) {
	data, err := os.ReadFile(h.RecordFile(t))
	if err != nil {
		return Record{}, err
	}
	var rec Record
	if err := json.Unmarshal(data, &rec); err != nil {
		return Record{}, fmt.Errorf("%s: %w", h.RecordFile(t), err)
	}
	if rec.Target != t {
		return Record{}, fmt.Errorf("%s: it is about %s", h.RecordFile(t), rec.Target)
	}
	return rec, nil
}

// Sums reads the hashes of the files of t, and only believes them if they add up to h1.
// The error matches fs.ErrNotExist where there are none, ErrSums where they do not.
func (h Home) Sums(t Target, h1 string) (Sums, error) {
	f, err := os.Open(h.SumsFile(t))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	s, err := ReadSums(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", h.SumsFile(t), err)
	}
	if s.H1(t) != h1 {
		return nil, fmt.Errorf("%s: %w that add up to %s", h.SumsFile(t), ErrSums, h1)
	}
	return s, nil
}
