package config

import "fmt"

// Parse reads a configuration file's text. The name stands in errors only. The
// error, if any, is an *Error with all problems of the text.
func Parse(name string, data []byte) (*File, error) {
	root, problem := readYAML(data)
	if problem != nil {
		return nil, &Error{Name: name, Problems: []Problem{*problem}}
	}
	d := &decoder{spoilt: make(map[string]bool), within: make(map[string]bool)}
	f := Default()
	readObject(d, "", root, fileMembers, f)

	c := d.checker(root)
	c.file(f)
	for i := range c.problems {
		if p := &c.problems[i]; p.Line == 0 {
			p.Line, p.Column = root.place(p.Pointer)
		}
	}
	if err := c.err(name); err != nil {
		return nil, err
	}
	return f, nil
}

// Validate checks a configuration that was not read from text. The error, if
// any, is an *Error without lines, its pointers into the complete form: lists of
// variants, fields and addresses.
func (f *File) Validate() error {
	var c checker
	c.file(f)
	return c.err("")
}

// Marshal writes a configuration as YAML that Parse takes back to an equal one.
// Every member that has a value is written, also where it is the default; seeds
// too, which are secrets.
func Marshal(f *File) ([]byte, error) {
	if err := f.Validate(); err != nil {
		return nil, fmt.Errorf("marshal configuration: %w", err)
	}
	return writeYAML(writeObject(fileMembers, f)), nil
}
