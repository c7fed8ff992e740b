package strictyaml

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// Bounds on what Parse reads. They are far above what a person writes: five thousand
// mapping rules are about a megabyte and a hundred thousand nodes.
const (
	maxBytes    = 2 << 20 // size of a file; a syntax error in a larger one takes too long to find
	maxDepth    = 64      // lists and mappings inside one another
	maxNodes    = 500_000 // values and keys, each alias counted as what it stands for
	maxProblems = 200     // mistakes listed by one Parse or one Decode
)

// Document is one parsed YAML file.
type Document struct {
	file  string
	lines []string // the text without line endings, for Within
	root  *yaml.Node
}

// ParseFile reads the file at path and parses it as Parse does.
func ParseFile(path string) (*Document, Problems) {
	data, err := readFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, Problems{{File: path, Message: "there is no such file"}}
	case errors.Is(err, fs.ErrPermission):
		return nil, Problems{{File: path, Message: "the file may not be read by this user; check its owner and mode"}}
	case err != nil:
		return nil, Problems{{File: path, Message: "the file cannot be read: " + err.Error()}}
	}
	return Parse(path, data)
}

// readFile reads no more than Parse accepts and one byte, so that a device or an endless
// file named by mistake does not fill the memory.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // nothing was written
	return io.ReadAll(io.LimitReader(f, maxBytes+1))
}

// Parse reads one YAML document. The document is nil when the text cannot be read as YAML
// or goes over a bound; with mistakes such as a repeated key it is there and can still be
// decoded, so that all mistakes can be reported together.
func Parse(file string, data []byte) (*Document, Problems) {
	data = bytes.TrimPrefix(data, []byte("\uFEFF"))
	fatal := func(pos Pos, format string, args ...any) (*Document, Problems) {
		return nil, Problems{{File: file, Pos: pos, Message: fmt.Sprintf(format, args...)}}
	}
	if len(data) > maxBytes {
		return fatal(Pos{1, 1}, "the file is larger than %d bytes", maxBytes)
	}
	if pos, message := badCharacter(data); message != "" {
		return fatal(pos, "%s", message)
	}
	docs, err := parseAll(data)
	if err != nil {
		pos, message := syntaxError(data)
		return fatal(pos, "%s", message)
	}
	if len(docs) == 0 {
		return fatal(Pos{1, 1}, "the file is empty")
	}
	d := &Document{file: file, lines: splitLines(data), root: docs[0].Content[0]}
	if len(docs) > 1 {
		return fatal(position(docs[1]), `a second document starts here; keep one and remove the "---" line`)
	}
	if d.root.Kind == yaml.ScalarNode && d.root.Tag == nullTag && d.root.Value == "" {
		return fatal(Pos{1, 1}, "the file is empty")
	}
	c := checker{file: file, open: map[*yaml.Node]bool{}, size: map[*yaml.Node]int{}}
	if c.check(d.root, 1) > maxNodes && !c.fatal {
		return fatal(Pos{1, 1}, "the file holds more than %d values, aliases counted as what they stand for", maxNodes)
	}
	c.problems.Sort()
	if c.fatal {
		return nil, c.problems
	}
	return d, c.problems
}

// parseAll returns the first two documents of data: enough to know that there is not just one.
func parseAll(data []byte) ([]*yaml.Node, error) {
	var docs []*yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(data))
	for len(docs) < 2 {
		var n yaml.Node
		if err := dec.Decode(&n); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
		docs = append(docs, &n)
	}
	return docs, nil
}

func position(n *yaml.Node) Pos { return Pos{n.Line, n.Column} }

func splitLines(data []byte) []string {
	lines := strings.Split(string(data), "\n")
	for i, l := range lines {
		lines[i] = strings.TrimSuffix(l, "\r")
	}
	return lines
}

// badCharacter finds the first byte that is not UTF-8 or that an editor does not show but
// YAML cares about. Lone carriage returns and the Unicode line separators are among them:
// YAML 1.1 ends a line there, an editor does not, and every later line number would be wrong.
func badCharacter(data []byte) (Pos, string) {
	pos := Pos{1, 1}
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			return pos, fmt.Sprintf("byte 0x%02x is not UTF-8; save the file as UTF-8", data[i])
		case r == '\r' && (i+1 == len(data) || data[i+1] != '\n'):
			return pos, "a lone carriage return; end lines with a line feed"
		case hidden(r), r == '\u0085' || r == '\u2028' || r == '\u2029' || r == '\uFEFF' || r == 0x7f || r > 0x7f && r < 0xa0 || r < ' ' && r != '\t' && r != '\n' && r != '\r':
			return pos, fmt.Sprintf("an invisible character (U+%04X); remove it", r)
		case r == '\n':
			pos = Pos{pos.Line + 1, 0}
		}
		pos.Column++
		i += size
	}
	return pos, ""
}

const nullTag = "!!null"

// checker walks the tree once and finds what must be right before any decoding.
type checker struct {
	file     string
	problems Problems
	fatal    bool                // the document must not be used
	open     map[*yaml.Node]bool // anchored nodes that the walk is inside of
	size     map[*yaml.Node]int  // anchored nodes and the nodes they hold
}

func (c *checker) add(n *yaml.Node, format string, args ...any) {
	if len(c.problems) < maxProblems {
		c.problems = append(c.problems, Problem{File: c.file, Pos: position(n), Message: fmt.Sprintf(format, args...)})
	}
}

// check returns how many nodes n stands for; past maxNodes it stops counting.
func (c *checker) check(n *yaml.Node, depth int) int {
	if c.fatal {
		return 0
	}
	if depth > maxDepth {
		c.fatal = true
		c.add(n, "lists and mappings are nested more than %d deep", maxDepth)
		return 0
	}
	if n.Kind == yaml.AliasNode {
		return c.alias(n, depth)
	}
	if n.Style&yaml.TaggedStyle != 0 || n.Tag == "!" {
		c.add(n, `the tag %s is not supported; write the value alone, in quotes if it is text`, quote(n.Tag))
	}
	if n.Anchor != "" {
		c.open[n] = true
		defer delete(c.open, n)
	}
	total := 1
	if n.Kind == yaml.MappingNode {
		c.keys(n)
	}
	for _, child := range n.Content {
		if total += c.check(child, depth+1); total > maxNodes {
			break
		}
	}
	if n.Anchor != "" {
		c.size[n] = total
	}
	return total
}

// alias returns the size of what the alias stands for, without walking it again: a few
// lines of aliases to aliases stand for billions of nodes.
func (c *checker) alias(n *yaml.Node, depth int) int {
	if c.open[n.Alias] {
		c.fatal = true
		c.add(n, "*%s stands inside &%s itself", n.Value, n.Value)
		return 0
	}
	if size, ok := c.size[n.Alias]; ok {
		if depth+height(n.Alias) > maxDepth {
			c.fatal = true
			c.add(n, "lists and mappings are nested more than %d deep", maxDepth)
		}
		return size
	}
	return 1
}

// height is the number of levels below n, aliases followed, cut off past maxDepth. The
// anchored node was checked before, so it holds no cycle and no more than maxNodes.
func height(n *yaml.Node) int {
	if n.Kind == yaml.AliasNode {
		return height(n.Alias)
	}
	h := 0
	for _, child := range n.Content {
		h = max(h, 1+height(child))
	}
	return h
}

// keys reports repeated keys, keys that are not one word, and merge keys.
func (c *checker) keys(n *yaml.Node) {
	seen := make(map[string]*yaml.Node, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := n.Content[i]
		switch first := seen[k.Value]; {
		case k.Kind != yaml.ScalarNode:
			c.add(k, "a key must be one word, not %s", describe(k))
		case k.Tag == "!!merge":
			c.add(k, `merge keys (<<) are not supported; write the keys out`)
		case k.Value == "":
			c.add(k, `a key is missing before ":"`)
		case first != nil:
			c.add(k, "key %s is here a second time; the first is in line %d", quote(k.Value), first.Line)
		default:
			seen[k.Value] = k
		}
	}
}

// hidden are characters without a shape that make two names look alike, or show text in another order than it is read in. The two
// joiners that scripts and emoji need are not among them.
func hidden(r rune) bool {
	switch {
	case r == '\u00AD', r == '\u200B', r == '\u200E', r == '\u200F', r == '\u061C', r == '\u180E':
		return true
	case r >= '\u202A' && r <= '\u202E', r >= '\u2060' && r <= '\u2069':
		return true
	}
	return false
}
