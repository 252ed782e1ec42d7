package config

import (
	"errors"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// readYAML turns one YAML document into a tree. An empty document is an empty
// object. The time it takes is bounded whatever the text is.
func readYAML(data []byte) (*node, *Problem) {
	text, problem := checkText(data)
	if problem != nil {
		return nil, problem
	}
	tokens := lexer.Tokenize(text)
	if problem := checkTokens(tokens); problem != nil {
		return nil, problem
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		return nil, syntaxProblem(err)
	}
	if len(file.Docs) == 0 || file.Docs[0].Body == nil {
		return &node{kind: object, line: 1, column: 1, size: 1}, nil
	}
	t := tree{anchors: make(map[string]*node)}
	return t.node(file.Docs[0].Body), nil
}

// syntaxProblem returns the parser's error as a problem of the whole text. The
// error's own text is not asked for: it repeats the source.
func syntaxProblem(err error) *Problem {
	var syntax *yaml.SyntaxError
	if !errors.As(err, &syntax) {
		return &Problem{Message: "is not YAML"}
	}
	p := &Problem{Message: notYAML(syntax.Message)}
	if syntax.Token != nil {
		p.Line, p.Column = syntax.Token.Position.Line, syntax.Token.Position.Column
	}
	return p
}

// notYAML returns the message for what the lexer or the parser says.
func notYAML(reason string) string {
	return "is not YAML: " + strings.ReplaceAll(reason, "\t", `\t`)
}

// tree builds nodes from a parsed document.
type tree struct {
	anchors map[string]*node
	aliased int // values that aliases stood for so far
}

func (t *tree) node(from ast.Node) *node {
	n := &node{}
	if tk := from.GetToken(); tk != nil {
		n.line, n.column = tk.Position.Line, tk.Position.Column
	}
	switch from := from.(type) {
	case *ast.MappingNode:
		t.object(n, from)
	case *ast.SequenceNode:
		n.kind = list
		n.items = make([]*node, len(from.Values))
		for i, v := range from.Values {
			n.items[i] = t.node(v)
		}
	case *ast.NullNode:
		n.kind = null
	case *ast.AnchorNode:
		value := t.node(from.Value)
		t.anchors[from.Name.GetToken().Value] = value
		return value
	case *ast.AliasNode:
		return t.alias(n, from.Value.GetToken().Value)
	case *ast.StringNode, *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		// The literal text, not YAML's idea of it: 48 and 0f are both bytes in
		// hex where bytes are asked for.
		tk := from.GetToken()
		n.kind, n.text = scalar, tk.Value
		n.quoted = tk.Type == token.SingleQuoteType || tk.Type == token.DoubleQuoteType
	default:
		n.text = "is a kind of YAML value that is not used here"
	}
	n.measure()
	return n
}

// object fills n. The place of an object in block style is that of its first
// member: its own token is the colon behind that.
func (t *tree) object(n *node, from *ast.MappingNode) {
	n.kind = object
	for _, v := range from.Values {
		tk := v.Key.GetToken()
		if v.Key.IsMergeKey() {
			t.merge(n, tk, t.node(v.Value))
			continue
		}
		n.members = append(n.members, pair{
			name: tk.Value, line: tk.Position.Line, column: tk.Position.Column, value: t.node(v.Value),
		})
	}
	if len(from.Values) > 0 && !from.IsFlowStyle {
		first := from.Values[0].Key.GetToken().Position
		n.line, n.column = first.Line, first.Column
	}
}

// merge takes the value of a merge key, an object or a list of objects, into n.
func (t *tree) merge(n *node, key *token.Token, value *node) {
	from := []*node{value}
	if value.kind == list {
		from = value.items
	}
	for _, m := range from {
		if m.kind == object {
			n.merged = append(n.merged, m)
			continue
		}
		if m.kind != broken {
			m = &node{line: m.line, column: m.column, text: "takes over members from objects only", size: 1}
		}
		n.members = append(n.members, pair{
			name: key.Value, line: key.Position.Line, column: key.Position.Column, value: m,
		})
	}
}

// alias returns the node that an alias stands for, shared, or n as a broken one.
func (t *tree) alias(n *node, name string) *node {
	target, ok := t.anchors[name]
	n.size = 1
	if !ok {
		n.text = fmt.Sprintf("refers to %s, which is defined nowhere before", show("*"+name))
		return n
	}
	t.aliased += target.size
	if t.aliased > maxAliased {
		n.text = fmt.Sprintf("takes the YAML aliases beyond %d values", maxAliased)
		return n
	}
	return target
}
