package scim_test

import (
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"scimbridge/internal/contractor"
)

// query writes parameters.
func query(pairs ...string) string {
	q := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		q.Add(pairs[i], pairs[i+1])
	}
	return q.Encode()
}

// TestClients plays the request sequences of real clients, one file each:
//
//	# comment
//	vendor NAME=VALUE…       settings, at the top
//	> METHOD PATH            a request; header lines and, behind a blank line, a body may follow
//	< STATUS                 the answer
//	PATH == JSON             a value in it
//	PATH ==                  no such value
//	PATH -> NAME             kept as ${NAME}
func TestClients(t *testing.T) {
	files, err := filepath.Glob("testdata/clients/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			play(t, string(b))
		})
	}
}

func play(t *testing.T, script string) {
	vendor := acme()
	var w *world
	vars := map[string]string{}
	fill := func(s string) string {
		return regexp.MustCompile(`\$\{\w+\}`).ReplaceAllStringFunc(s, func(m string) string {
			v, ok := vars[m[2:len(m)-1]]
			if !ok {
				t.Fatalf("%s was not kept", m)
			}
			return v
		})
	}
	var last reply
	lines := strings.Split(script, "\n")
	for i := 0; i < len(lines); i++ {
		line := strings.TrimSpace(lines[i])
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "vendor "):
			for _, f := range strings.Fields(line)[1:] {
				name, v, _ := strings.Cut(f, "=")
				set(t, vendor, name, v)
			}
		case strings.HasPrefix(line, "> "):
			if w == nil {
				w = newWorld(t, nil, vendor)
			}
			method, path, _ := strings.Cut(line[2:], " ")
			var headers, body []string
			for i++; i < len(lines) && lines[i] != "" && !strings.HasPrefix(lines[i], "< "); i++ {
				name, v, _ := strings.Cut(lines[i], ": ")
				headers = append(headers, name, v)
			}
			for ; i < len(lines) && !strings.HasPrefix(lines[i], "< "); i++ {
				body = append(body, lines[i])
			}
			i--
			last = w.do(method, fill(path), strings.TrimSpace(fill(strings.Join(body, "\n"))), headers...)
			last.what += " (line " + lineNumber(lines, line, i) + ")"
		case strings.HasPrefix(line, "< "):
			if got := line[2:]; got != statusText(last.status) {
				t.Fatalf("%s: status %d, want %s\n%s", last.what, last.status, got, last.body)
			}
		default:
			if path, want, ok := strings.Cut(line, " =="); ok {
				last.is(strings.TrimSpace(path), fill(strings.TrimSpace(want)))
			} else if path, name, ok := strings.Cut(line, " -> "); ok {
				vars[name] = last.str(path)
			} else {
				t.Fatalf("line %d is not understood: %s", i+1, line)
			}
		}
	}
}

func lineNumber(lines []string, line string, before int) string {
	for i := before; i >= 0; i-- {
		if strings.TrimSpace(lines[i]) == line {
			return statusText(i + 1)
		}
	}
	return "?"
}

func statusText(n int) string { return strconv.Itoa(n) }

func set(t *testing.T, v *contractor.Vendor, name, value string) {
	switch name {
	case "profile":
		v.Profile = value
	case "domains":
		v.EmailDomains = strings.Split(value, ",")
	case "layouts":
		v.DateLayouts = strings.Split(value, ",")
	case "test_users":
		v.TestUsers = strings.Split(value, ",")
	case "missing_end":
		v.MissingEnd = contractor.MissingEnd(value)
	case "groups":
		v.IgnoreGroups = value == "ignore"
	case "zone":
		z, err := contractor.LoadZone(value)
		if err != nil {
			t.Fatal(err)
		}
		v.Zone = z
	default:
		t.Fatalf("unknown setting %q", name)
	}
}
