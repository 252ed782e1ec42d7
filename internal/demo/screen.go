package demo

import (
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// Look is how the show is written. The zero Look is for files and pipes.
type Look struct {
	Colour bool // with escape sequences for colours
	Live   bool // with lines of progress that vanish, and pauses to read
	ASCII  bool // with no characters beyond ASCII
}

// LookOf returns the look that fits a file and the environment: colours and
// progress on a terminal alone, no colours where NO_COLOR is set (no-color.org),
// ASCII where the locale names another character set than UTF-8.
func LookOf(f *os.File, env func(string) string) Look {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	terminal := err == nil && env("TERM") != "dumb"
	return Look{
		Colour: terminal && env("NO_COLOR") == "",
		Live:   terminal,
		ASCII:  !isUTF8(env) || terminal && env("TERM") == "linux",
	}
}

// isUTF8 goes by the locale. Where none is set, as in most containers, the
// terminal is another host's, and that has UTF-8.
func isUTF8(env func(string) string) bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := strings.ToUpper(env(name)); v != "" {
			return strings.Contains(v, "UTF-8") || strings.Contains(v, "UTF8")
		}
	}
	return true
}

const (
	width  = 80 // of the show, in characters
	indent = "   "
	// noBreak is written as a blank where no line may break.
	noBreak = "\u00a0"
)

// ink is a colour or weight: the parameters of an SGR sequence (ECMA-48).
type ink string

const (
	normal ink = ""
	strong ink = "1"
	dim    ink = "2"
	good   ink = "32"
	bad    ink = "1;31"
)

// of returns text in this ink.
func (i ink) of(format string, args ...any) cell { return cell{fmt.Sprintf(format, args...), i} }

// cell is a piece of text in one ink.
type cell struct {
	text string
	ink  ink
}

// glyphs are the characters that not every terminal has.
type glyphs struct {
	tick, cross, arrow      string
	line                    string
	forkTop, fork, forkLast string
	bar                     []string // parts of a character, from the smallest to a whole one
}

var (
	unicodeGlyphs = glyphs{
		"✓", "✗", "→", "───", "─┬─", " ├─", " └─",
		[]string{"▏", "▎", "▍", "▌", "▋", "▊", "▉", "█"},
	}
	asciiGlyphs = glyphs{"ok", "NOT", "->", "---", "-+-", " +-", " +-", []string{"#"}}
)

// screen writes a show and keeps its claims. It is one goroutine's.
type screen struct {
	out    io.Writer
	look   Look
	glyphs glyphs
	scene  int
	claims []claim
	busy   bool // a line of progress stands there
}

// claim is something that was shown to be so, or not.
type claim struct {
	scene int
	text  string
	held  bool
}

func newScreen(out io.Writer, look Look) *screen {
	s := &screen{out: out, look: look, glyphs: unicodeGlyphs}
	if look.ASCII {
		s.glyphs = asciiGlyphs
	}
	return s
}

// write writes what stands in a line. An error has nobody to be told: the screen
// is gone.
func (s *screen) write(cells ...cell) {
	s.clear()
	var b strings.Builder
	for _, c := range cells {
		b.WriteString(s.paint(c))
	}
	line := strings.ReplaceAll(b.String(), noBreak, " ")
	_, _ = io.WriteString(s.out, strings.TrimRight(line, " ")+"\n")
}

func (s *screen) paint(c cell) string {
	if !s.look.Colour || c.ink == normal || c.text == "" {
		return c.text
	}
	return "\x1b[" + string(c.ink) + "m" + c.text + "\x1b[0m"
}

// progress shows what is being done until the next line is written. It writes
// nothing where lines cannot vanish.
func (s *screen) progress(format string, args ...any) {
	if !s.look.Live {
		return
	}
	s.busy = true
	text := clip(fmt.Sprintf(format, args...), width-len(indent)-4)
	_, _ = io.WriteString(s.out, "\r\x1b[K"+indent+s.paint(dim.of("%s ...", text)))
}

// clear takes a line of progress away.
func (s *screen) clear() {
	if s.busy {
		_, _ = io.WriteString(s.out, "\r\x1b[K")
		s.busy = false
	}
}

func (s *screen) blank() { s.write() }

func (s *screen) title(text string) {
	s.write(strong.of("%s", text))
	s.blank()
}

// heading begins a scene.
func (s *screen) heading(number int, text string) {
	s.scene = number
	s.blank()
	s.write(strong.of("%d  %s", number, text))
}

// text writes a paragraph, broken into lines.
func (s *screen) text(format string, args ...any) {
	for _, line := range wrap(fmt.Sprintf(format, args...), width-len(indent)) {
		s.write(normal.of("%s%s", indent, line))
	}
}

// claim shows whether something is so, and remembers it.
func (s *screen) claim(held bool, format string, args ...any) {
	c := claim{scene: s.scene, text: fmt.Sprintf(format, args...), held: held}
	s.claims = append(s.claims, c)
	s.mark(c.held, c.text)
}

// mark writes a text behind a tick or a cross.
func (s *screen) mark(held bool, text string) {
	sign := s.sign(held)
	margin := strings.Repeat(" ", utf8.RuneCountInString(sign.text)+1)
	for i, line := range wrap(text, width-len(indent)-len(margin)) {
		if i == 0 {
			s.write(normal.of(indent), sign, normal.of(" %s", line))
		} else {
			s.write(normal.of("%s%s%s", indent, margin, line))
		}
	}
}

func (s *screen) sign(held bool) cell {
	if held {
		return good.of("%s", s.glyphs.tick)
	}
	return bad.of("%s", s.glyphs.cross)
}

// broken are the claims that did not hold.
func (s *screen) broken() []string {
	var list []string
	for _, c := range s.claims {
		if !c.held {
			list = append(list, fmt.Sprintf("scene %d: %s", c.scene, c.text))
		}
	}
	return list
}

// bar returns a bar for a part of max: max is size characters long.
func (s *screen) bar(part, most float64, size int) string {
	if most <= 0 || part <= 0 {
		return ""
	}
	steps := len(s.glyphs.bar)
	n := min(int(part/most*float64(size*steps)+0.5), size*steps)
	text := strings.Repeat(s.glyphs.bar[steps-1], n/steps)
	if n%steps > 0 {
		text += s.glyphs.bar[n%steps-1]
	}
	if text == "" { // something is more than nothing
		text = s.glyphs.bar[0]
	}
	return text
}

// wrap breaks a text at single blanks into lines of at most limit characters; a
// longer word has a line of its own.
func wrap(text string, limit int) []string {
	var lines []string
	line := ""
	for word := range strings.SplitSeq(text, " ") {
		switch {
		case line == "":
			line = word
		case utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > limit:
			lines = append(lines, line)
			line = word
		default:
			line += " " + word
		}
	}
	return append(lines, line)
}

// clip cuts a text to at most limit characters.
func clip(text string, limit int) string {
	if r := []rune(text); len(r) > limit {
		return string(r[:limit])
	}
	return text
}
