package notify

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"scimbridge/internal/contractor"
)

func testKeys() keys { return keys{[]byte(strings.Repeat("k", MinKey))} }

func TestLinks(t *testing.T) {
	now := time.Date(2026, 11, 25, 8, 0, 0, 0, time.UTC)
	k := testKeys()
	l, hash := k.newLink(now.Add(time.Hour))
	text := k.text(l)
	id, got, err := k.parse(text, now)
	if err != nil || id != l.ID || got != hash {
		t.Fatalf("parsed %s %v, want %s", id, err, l.ID)
	}
	if text != k.text(l) {
		t.Error("a link made again is another link")
	}
	for name, bad := range map[string]struct {
		text string
		at   time.Time
		keys keys
	}{
		"expired":     {text, now.Add(time.Hour), k},
		"another key": {text, now, keys{[]byte(strings.Repeat("x", MinKey))}},
		"shortened":   {text[:len(text)-1], now, k},
		"empty":       {"", now, k},
		"bit flipped": {"A" + strings.TrimPrefix(text, text[:1]) + "", now, keys{[]byte(strings.Repeat("y", MinKey))}},
	} {
		if _, _, err := bad.keys.parse(bad.text, bad.at); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestForms(t *testing.T) {
	now := time.Date(2026, 11, 25, 8, 0, 0, 0, time.UTC)
	k := testKeys()
	token := k.formToken("link", "cookie", now)
	if !k.formValid(token, "link", "cookie", now.Add(59*time.Minute)) {
		t.Error("a form is not accepted")
	}
	for name, ok := range map[string]bool{
		"another link":   k.formValid(token, "other", "cookie", now),
		"another cookie": k.formValid(token, "link", "other", now),
		"no cookie":      k.formValid(k.formToken("link", "", now), "link", "", now),
		"too late":       k.formValid(token, "link", "cookie", now.Add(formLife)),
		"garbage":        k.formValid("garbage", "link", "cookie", now),
	} {
		if ok {
			t.Errorf("%s: accepted", name)
		}
	}
}

// FuzzParse: what is accepted was signed, and reads back as the very text.
func FuzzParse(f *testing.F) {
	now := time.Date(2026, 11, 25, 8, 0, 0, 0, time.UTC)
	k := testKeys()
	l := contractor.Link{ID: strings.Repeat("0a", idBytes), Expires: now.Add(time.Hour)} // the same in every process
	f.Add(k.text(l))
	f.Add(strings.Repeat("A", 64))
	f.Add(strings.ToUpper(k.text(l)))
	f.Fuzz(func(t *testing.T, text string) {
		if _, _, err := k.parse(text, now); err != nil {
			return
		}
		raw, err := base64.RawURLEncoding.DecodeString(text)
		if err != nil || base64.RawURLEncoding.EncodeToString(raw) != text || text != k.text(l) {
			t.Errorf("accepted %q", text)
		}
	})
}

func TestLimits(t *testing.T) {
	now := time.Date(2026, 11, 25, 8, 0, 0, 0, time.UTC)
	l := newLimiter()
	for i := range burstPerHost {
		if !l.allow("a", now) {
			t.Fatalf("request %d is refused", i)
		}
	}
	if l.allow("a", now) || !l.allow("b", now) {
		t.Error("the limit is not the address's own")
	}
	if !l.allow("a", now.Add(3*time.Second)) {
		t.Error("the limit does not recover")
	}
	for i := range maxHosts + 5 {
		l.allow(string(rune(i)), now)
	}
	if len(l.hosts) > maxHosts {
		t.Errorf("%d addresses are remembered", len(l.hosts))
	}
}
