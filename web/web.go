// Package web holds the pages that the daemon serves to browsers, as "make web"
// built them. A build without Node has none of them; what there is then says how
// to get them.
package web

import (
	"embed"
	"io/fs"
)

// dist is what Vite made. Of a build without it only .gitkeep is there.
//
//go:embed all:dist
var dist embed.FS

//go:embed all:missing
var missing embed.FS

// FS holds an index.html for each page, the dashboard's at the top and that of
// docs in its folder, and in assets what the pages load. Without a build the pages
// are a line that says how to get them.
func FS() fs.FS {
	if Built() {
		return sub(dist, "dist")
	}
	return sub(missing, "missing")
}

// Built reports whether the pages were built before the program was.
func Built() bool {
	_, err := fs.Stat(dist, "dist/index.html")
	return err == nil
}

func sub(of embed.FS, dir string) fs.FS {
	s, err := fs.Sub(of, dir)
	if err != nil {
		panic(err) // the name is a constant, and valid
	}
	return s
}
