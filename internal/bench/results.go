package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Results are those of a run.
type Results struct {
	Machine Machine
	Taken   time.Time
	Rounds  int
	Size    Size
	Figures []Figure
	Samples samples
}

// ReadResults reads results that a run has written.
func ReadResults(path string) (Results, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return Results{}, err
	}
	var r Results
	if err := json.Unmarshal(text, &r); err != nil {
		return Results{}, fmt.Errorf("read %s: %w", path, err)
	}
	return r, nil
}

// text is the results as JSON.
func (r *Results) text() ([]byte, error) {
	text, err := json.MarshalIndent(r, "", "\t")
	return append(text, '\n'), err
}

// WritePage writes the page about the results, and its plot beside it. beside
// is results of another kernel, which has IPVS; nil for none. What people have
// written on the page, where it says so, stays.
func (r *Results) WritePage(path string, beside *Results) error {
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	plot := strings.TrimSuffix(path, filepath.Ext(path)) + ".svg"
	if err := os.WriteFile(plot, []byte(plotOf(*r)), 0o644); err != nil {
		return err
	}
	p := page{results: *r, beside: beside, plot: filepath.Base(plot), notes: notesOf(string(old))}
	return os.WriteFile(path, []byte(p.String()), 0o644)
}

// allFigures are the figures of r, and those beside IPVS of another kernel's
// results.
func (r *Results) allFigures(beside *Results) []Figure {
	all := figures(r.Samples, r.Size)
	if beside == nil {
		return all
	}
	for _, f := range figures(beside.Samples, beside.Size) {
		if strings.Contains(f.Name, againstIPVS) {
			f.Name += ", Debian's kernel"
			all = append(all, f)
		}
	}
	return all
}
