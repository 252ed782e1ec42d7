package nft

import (
	"bytes"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// write gives a listing's text.
func (l *listing) textOf(t *testing.T, o TextOptions) string {
	t.Helper()
	var out bytes.Buffer
	if err := l.write(&out, o); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// An element must be shown with all that it means.
func TestElementTexts(t *testing.T) {
	addr := func(last byte) []byte { return []byte{192, 0, 2, last} }
	value := func(attr uint16, v []byte) []byte {
		return appendNested(nil, attr, func(b []byte) []byte { return appendAttr(b, unix.NFTA_DATA_VALUE, v) })
	}
	for _, c := range []struct {
		name     string
		m        Map
		elements [][]byte // encoded, behind those of m
		want     string
	}{
		{"sorted numbers", Map{Key: typeSlot, Data: typeZone, Elements: []Element{{Key: host32(256), Data: host16(1)}, {Key: host32(1), Data: host16(2)}}}, nil, "1 : 2, 256 : 1"},
		{"marks", Map{Key: typeMarkValue, Data: typeZone, Elements: []Element{{Key: host32(0x20001), Data: host16(1)}}}, nil, "0x00020001 : 1"},
		{"five a line", Map{Key: typeZone, Elements: []Element{{Key: host16(6)}, {Key: host16(5)}, {Key: host16(4)}, {Key: host16(3)}, {Key: host16(2)}, {Key: host16(1)}}}, nil, "1, 2, 3, 4, 5,\n\t\t\t     6"},
		{"a verdict", Map{Key: typeAddr4, Data: typeGoto, Elements: []Element{{Key: addr(1), Goto: "bound"}}}, nil, "192.0.2.1 : goto bound"},
		{"counters that nothing has met", Map{Key: typeAddr4, Counter: true, Elements: []Element{{Key: addr(1)}}}, nil, "192.0.2.1 counter packets 0 bytes 0"},
		{"times", Map{Key: typeAddr4}, [][]byte{
			appendU64(appendU64(value(unix.NFTA_SET_ELEM_KEY, addr(9)), unix.NFTA_SET_ELEM_TIMEOUT, 60000), unix.NFTA_SET_ELEM_EXPIRATION, 1500),
		}, "192.0.2.9 timeout 1m expires 1s500ms"},
		{"a comment", Map{Key: typeAddr4}, [][]byte{
			appendAttr(value(unix.NFTA_SET_ELEM_KEY, addr(9)), unix.NFTA_SET_ELEM_USERDATA, append([]byte{0, 9}, "\"why\"\n}x\x00"...)),
		}, `192.0.2.9 comment "?why??}x"`},
		{"everything else", Map{Key: typeAddr4, Data: typeZone, Elements: []Element{{Key: addr(200), Data: host16(1)}}}, [][]byte{
			append(appendU32(nil, unix.NFTA_SET_ELEM_FLAGS, 2), value(unix.NFTA_SET_ELEM_DATA, host16(7))...),
		}, "192.0.2.200 : 1,\n* : 7"},
		{"ranges side by side", Map{Key: typeAddrPort4}, [][]byte{
			append(value(unix.NFTA_SET_ELEM_KEY, []byte{192, 0, 2, 0, 0, 53, 0, 0}), value(10, []byte{192, 0, 2, 255, 0, 60, 0, 0})...),
		}, "192.0.2.0/24 . 53-60"},
		{"prefixes and intervals", Map{Key: typeAddr4, Intervals: true, Elements: []Element{
			{Key: addr(8)}, {Key: addr(16), End: true}, // as a prefix
			{Key: addr(3)}, {Key: addr(6), End: true}, // not one
			{Key: addr(1)}, {Key: addr(2), End: true}, // one address
			{Key: make([]byte, 4), End: true}, // what nft sends first
		}}, nil, "192.0.2.1, 192.0.2.3-192.0.2.5,\n192.0.2.8/29"},
		{"up to the last address", Map{Key: typeAddr4, Intervals: true, Elements: []Element{{Key: []byte{224, 0, 0, 0}}}}, nil, "224.0.0.0/3"},
		{"all addresses", Map{Key: typeAddr6, Intervals: true, Elements: []Element{{Key: make([]byte, 16)}}}, nil, "::/0"},
		{"intervals that touch", Map{Key: typeAddr4, Intervals: true, Elements: []Element{{Key: addr(0)}, {Key: addr(4)}, {Key: addr(8), End: true}}}, nil, "192.0.2.0/30, 192.0.2.4/30"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.m.Name = "m"
			l := newListing("t")
			l.message(msgNewTable, addTable("t").body)
			l.message(msgNewSet, addMap("t", &c.m, 1).body)
			for _, r := range elements(msgNewSetElem, "t", "m", c.m.Elements) {
				l.message(r.typ, r.body)
			}
			for _, e := range c.elements {
				body := appendString(appendString(nil, unix.NFTA_SET_ELEM_LIST_TABLE, "t"), unix.NFTA_SET_ELEM_LIST_SET, "m")
				l.message(msgNewSetElem, appendNested(body, unix.NFTA_SET_ELEM_LIST_ELEMENTS, func(b []byte) []byte { return appendAttr(b, unix.NFTA_LIST_ELEM, e) }))
			}
			text := l.textOf(t, TextOptions{})
			_, got, ok := strings.Cut(text, "elements = { ")
			got, _, closed := strings.Cut(got, " }\n")
			if !ok || !closed {
				t.Fatalf("no elements in\n%s", text)
			}
			if got, want := strings.Join(strings.Fields(got), " "), strings.Join(strings.Fields(c.want), " "); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
			if c.name == "five a line" && got != c.want {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}

// A table that is out of work must be seen to be.
func TestTableFlags(t *testing.T) {
	l := newListing("t")
	body := appendU32(appendString(nil, unix.NFTA_TABLE_NAME, "t"), unix.NFTA_TABLE_FLAGS, unix.NFT_TABLE_F_DORMANT)
	l.message(msgNewTable, body)
	l.message(msgNewChain, addChain("t", &Chain{Name: "c"}).body)
	l.message(msgNewChain, addChain("other", &Chain{Name: "not ours"}).body)
	const want = "table inet t {\n\tflags dormant\n\n\tchain c {\n\t}\n}\n"
	if got := l.textOf(t, TextOptions{}); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// FuzzListing reads messages that no kernel would send. Whatever it is, the text
// must not end the daemon, nor what it quotes end a line or a string of it.
func FuzzListing(f *testing.F) {
	var context []request
	for _, c := range goldenCases {
		table := compiled(c.services(paperBed())...)
		table.Name = "t"
		context = []request{addTable("t"), addChain("t", &Chain{Name: "c"})}
		for _, m := range table.Maps {
			context = append(context, addMap("t", m, 1))
			for _, r := range elements(msgNewSetElem, "t", m.Name, m.Elements) {
				f.Add(r.typ, r.body)
			}
		}
		for _, o := range table.Timeouts {
			f.Add(uint16(msgNewObj), addTimeout("t", o).body)
		}
		for _, c := range table.Chains {
			f.Add(uint16(msgNewChain), addChain("t", c).body)
			for i := range c.Rules {
				f.Add(uint16(msgNewRule), addRule("t", "c", &c.Rules[i]).body)
			}
		}
		for _, r := range context {
			f.Add(r.typ, r.body)
		}
	}
	f.Fuzz(func(t *testing.T, typ uint16, body []byte) {
		for _, o := range []TextOptions{{}, {Slots: true, Sessions: true, Loadable: true}, {Redact: true, Stateless: true}} {
			l := newListing("t")
			for _, r := range context {
				l.message(r.typ, r.body)
			}
			l.message(typ, body)
			text := l.textOf(t, o)
			if i := strings.IndexFunc(text, func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' }); i >= 0 {
				t.Errorf("a control character in %q", text[max(0, i-40):min(len(text), i+40)])
			}
			for line := range strings.Lines(text) {
				if strings.Count(line, `"`)%2 != 0 {
					t.Errorf("an open string: %s", line)
				}
			}
		}
	})
}
