package db

import (
	"encoding/json"
	"strings"
	"unicode/utf8"
)

// The functions here walk a JSON document that is known to be valid. Decoding all of it by reflection, to look at a few strings,
// would cost more than the rest of a read or of a write's preparation.

// members calls f for each member of an object; for any other value it does nothing.
func members(doc string, f func(name, value string)) {
	if firstByte(doc) != '{' {
		return
	}
	i := skipSpace(doc, 0) + 1
	for {
		if i = skipSpace(doc, i); i >= len(doc) || doc[i] == '}' {
			return
		}
		if doc[i] == ',' {
			i++
			continue
		}
		end := skipValue(doc, i)
		name := text(doc[i:end])
		i = skipSpace(doc, skipSpace(doc, end)+1) // behind the colon
		end = skipValue(doc, i)
		f(name, doc[i:end])
		i = end
	}
}

// elements calls f for each element of an array; for any other value it does nothing.
func elements(doc string, f func(value string)) {
	if firstByte(doc) != '[' {
		return
	}
	i := skipSpace(doc, 0) + 1
	for {
		if i = skipSpace(doc, i); i >= len(doc) || doc[i] == ']' {
			return
		}
		if doc[i] == ',' {
			i++
			continue
		}
		end := skipValue(doc, i)
		f(doc[i:end])
		i = end
	}
}

func firstByte(doc string) byte {
	if i := skipSpace(doc, 0); i < len(doc) {
		return doc[i]
	}
	return 0
}

func skipSpace(doc string, i int) int {
	for i < len(doc) && (doc[i] == ' ' || doc[i] == '\t' || doc[i] == '\n' || doc[i] == '\r') {
		i++
	}
	return i
}

// skipValue is the end of the value that begins at i.
func skipValue(doc string, i int) int {
	switch doc[i] {
	case '"':
		return skipString(doc, i)
	case '{', '[':
		return skipNested(doc, i)
	}
	for ; i < len(doc); i++ { // a number or a word
		switch doc[i] {
		case ',', ':', '}', ']', ' ', '\t', '\n', '\r':
			return i
		}
	}
	return i
}

func skipString(doc string, i int) int {
	for i++; doc[i] != '"'; i++ {
		if doc[i] == '\\' {
			i++
		}
	}
	return i + 1
}

func skipNested(doc string, i int) int {
	for depth := 0; ; i++ {
		switch doc[i] {
		case '"':
			i = skipString(doc, i) - 1
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
}

// text is the content of a JSON string, "" for any other value. Without escapes it shares the document's memory.
func text(value string) string {
	if len(value) < 2 || value[0] != '"' {
		return ""
	}
	plain := value[1 : len(value)-1]
	if strings.IndexByte(plain, '\\') < 0 && utf8.ValidString(plain) {
		return plain
	}
	var s string
	if json.Unmarshal([]byte(value), &s) != nil {
		return ""
	}
	return s
}
