package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"scimbridge/internal/db"
	"scimbridge/internal/faultdisk"
)

// onFaultDisk moves a killed victim's database to a disk that fails when it is told to. The test is left out where nobody may mount.
func (v *victim) onFaultDisk() *faultdisk.Disk {
	v.t.Helper()
	files := map[string][]byte{}
	names, err := filepath.Glob(filepath.Join(v.dir, "scimbridge.db*"))
	ok(v.t, err)
	for _, name := range names {
		if strings.HasSuffix(name, "-shm") {
			continue
		}
		files[filepath.Base(name)], err = os.ReadFile(name)
		ok(v.t, err)
	}
	disk, folder := faultdisk.New(files), filepath.Join(v.dir, "disk")
	ok(v.t, os.Mkdir(folder, 0o700))
	unmount, err := disk.Mount(folder)
	if errors.Is(err, faultdisk.ErrUnavailable) {
		v.t.Skip(err)
	}
	ok(v.t, err)
	v.t.Cleanup(func() {
		v.kill()
		ok(v.t, unmount())
	})
	v.rewrite("database: scimbridge.db", "database: disk/scimbridge.db")
	return disk
}

// asked is one answer with what a vendor's client goes by.
type asked struct {
	status     int
	retryAfter string
	body       string
}

func (v *victim) ask(method, url, body string) (a asked, err error) {
	ctx, cancel := context.WithTimeout(v.t.Context(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return a, err
	}
	req.Header.Set("Authorization", "Bearer "+v.client.token)
	req.Header.Set("Content-Type", "application/scim+json")
	resp, err := v.client.http.Do(req)
	if err != nil {
		return a, err
	}
	defer resp.Body.Close() //nolint:errcheck // it was read
	b, err := io.ReadAll(resp.Body)
	return asked{resp.StatusCode, resp.Header.Get("Retry-After"), string(b)}, err
}

// TestDiskFails lets the disk of a serving process fail in every way, and work again.
func TestDiskFails(t *testing.T) {
	t.Parallel()
	v := newVictim(t, 12)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(v.said())
		}
	})
	v.tenant.ClearFaults()
	eventually(t, 30*time.Second, "it serves", func() bool {
		a, err := v.ask(http.MethodGet, v.client.base+"/Users", "")
		return err == nil && a.status == http.StatusOK
	})
	v.kill()
	disk := v.onFaultDisk()
	metrics := freeAddr(t)
	v.rewrite("admin_socket: admin.sock", "admin_socket: admin.sock\nmetrics: {listen: "+metrics+"}")
	v.start()
	number, ids := 0, []string{}
	create := func() asked {
		number++
		mail := fmt.Sprintf("ada%d@kforce.example", number)
		body := strings.Replace(okta(mail, "Ada", "Byron", "Developer", time.Now().AddDate(0, 1, 0)), "00uj1y4nGd7uJ5rUQ0g4", fmt.Sprint("ada", number), 1)
		a, err := v.ask(http.MethodPost, v.client.base+"/Users", body)
		if err != nil {
			return asked{body: err.Error()}
		}
		if a.status == http.StatusCreated {
			_, rest, _ := strings.Cut(a.body, `"id":"`)
			id, _, _ := strings.Cut(rest, `"`)
			ids = append(ids, id)
		}
		return a
	}
	ready := func() asked {
		a, err := v.ask(http.MethodGet, "http://"+metrics+"/readyz", "")
		if err != nil {
			return asked{body: err.Error()}
		}
		return a
	}
	eventually(t, 30*time.Second, "it serves on the other disk", func() bool { return create().status == http.StatusCreated && ready().status == http.StatusOK })
	writes := func(v faultdisk.Verdict, kinds ...faultdisk.Kind) func(faultdisk.Op) faultdisk.Verdict {
		return func(op faultdisk.Op) faultdisk.Verdict {
			if slices.Contains(kinds, op.Kind) {
				return v
			}
			return faultdisk.Verdict{}
		}
	}
	for _, tt := range []struct {
		name, says string
		fault      func(faultdisk.Op) faultdisk.Verdict
		reads      bool // go on
	}{
		{"full", "the disk of the database is full", writes(faultdisk.Verdict{Errno: syscall.ENOSPC}, faultdisk.Write, faultdisk.Create), true},
		{"read-only", "the database cannot be written", writes(faultdisk.Verdict{Errno: syscall.EROFS}, faultdisk.Write, faultdisk.Create, faultdisk.Open, faultdisk.Truncate), true},
		{"I/O errors", "the disk of the database failed", writes(faultdisk.Verdict{Errno: syscall.EIO}, faultdisk.Write), true},
		{"torn writes", "the disk of the database failed", writes(faultdisk.Verdict{Errno: syscall.EIO, Bytes: 700}, faultdisk.Write), true},
		{"failing syncs", "the disk of the database failed", writes(faultdisk.Verdict{Errno: syscall.EIO}, faultdisk.Sync), false},
	} {
		disk.Fault(tt.fault)
		var refused asked
		eventually(t, 10*time.Second, tt.name+": a write is refused", func() bool { refused = create(); return refused.status != http.StatusCreated })
		eventually(t, 10*time.Second, tt.name+": and said why", func() bool { return strings.Contains(create().body, tt.says) })
		if refused = create(); refused.status != http.StatusServiceUnavailable || refused.retryAfter == "" {
			t.Errorf("%s: a write is answered %+v", tt.name, refused)
		}
		if a := ready(); a.status != http.StatusServiceUnavailable || tt.reads && !strings.Contains(a.body, tt.says) {
			t.Errorf("%s: /readyz says %+v", tt.name, a)
		}
		if a, err := v.ask(http.MethodGet, v.client.base+"/Users/"+ids[0], ""); tt.reads && (err != nil || a.status != http.StatusOK) {
			t.Errorf("%s: a read is answered %+v, %v", tt.name, a, err)
		}
		eventually(t, 15*time.Second, tt.name+": no call to Entra that could not be recorded", func() bool {
			n := len(v.tenant.Calls())
			time.Sleep(time.Second)
			return len(v.tenant.Calls()) == n
		})
		disk.Fault(nil)
		begun := time.Now()
		eventually(t, 20*time.Second, tt.name+": writes go on", func() bool { return create().status == http.StatusCreated })
		t.Logf("%s: writes went on %s after the disk took them again", tt.name, time.Since(begun).Round(10*time.Millisecond))
		eventually(t, 10*time.Second, tt.name+": /readyz says so", func() bool { return ready().status == http.StatusOK })
	}
	v.kill()
	v.holds(disk.Power(rand.New(rand.NewPCG(1, 2))), ids)
}

// holds opens what a boot would find, and looks for what was acknowledged.
func (v *victim) holds(files map[string][]byte, ids []string) {
	v.t.Helper()
	dir := v.t.TempDir()
	for name, b := range files {
		ok(v.t, os.WriteFile(filepath.Join(dir, name), b, 0o600))
	}
	store, err := db.Open(v.t.Context(), db.Config{Path: filepath.Join(dir, "scimbridge.db")})
	ok(v.t, err)
	defer store.Close() //nolint:errcheck // a test
	for _, id := range ids {
		if _, err := store.Get(v.t.Context(), "okta", id); err != nil {
			v.t.Errorf("%s was acknowledged: %v", id, err)
		}
	}
	if _, _, err := store.VerifyJournal(v.t.Context()); err != nil {
		v.t.Error(err)
	}
	if found, err := store.Check(v.t.Context()); err != nil || len(found) > 0 {
		v.t.Errorf("found %q, %v", found, err)
	}
	invited := map[string]int{}
	for _, i := range v.tenant.State().Invitations {
		invited[i.Address]++
	}
	for mail, n := range invited {
		if n > 1 {
			v.t.Errorf("%s was invited %d times", mail, n)
		}
	}
}
