package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"scimbridge/internal/contractor"
)

// adminStatus is the answer of the admin socket's /v1/status, and the form of status --json.
type adminStatus struct {
	Role     role                      `json:"role"` // leader or standby; with SQLite always leader
	Version  string                    `json:"version"`
	PID      int                       `json:"pid"`
	Started  time.Time                 `json:"started"`
	Healthy  bool                      `json:"healthy"`
	Trouble  []string                  `json:"trouble,omitempty"`        // sentences, each with what to do
	Notes    []string                  `json:"notes,omitempty"`          // worth knowing, and no reason to be woken
	Refusing string                    `json:"refusingWrites,omitempty"` // why the database takes no writes
	Mapping  mappingStatus             `json:"mapping"`
	People   map[contractor.Phase]int  `json:"people"`      // by phase
	Records  map[contractor.Status]int `json:"engagements"` // by status
	Held     int                       `json:"held"`        // people who wait for a decision
	Due      int                       `json:"due"`         // people whose work is due now
	Lag      float64                   `json:"lagSeconds"`  // age of the oldest due work
	NextDue  time.Time                 `json:"nextDue,omitzero"`
	Oldest   time.Time                 `json:"oldestDue,omitzero"` // since when the longest waiting one is due
	Ends     []contractor.NextEnd      `json:"nextEnds,omitempty"` // the soonest ends of contracts to come
	Closing  closingStatus             `json:"closing"`
	Mails    map[string]int            `json:"mails,omitempty"` // to sponsors, by state: waiting, sending, sent, failed
	Passes   int64                     `json:"passes"`          // since the start
	Entra    entraStatus               `json:"entra"`

	Pulls []contractor.PullState `json:"pulls,omitempty"` // how far vendors' own servers were read
}

// closingStatus is how the loop keeps up with the ends of contracts.
type closingStatus struct {
	Waiting  int       `json:"waiting"`         // people whose closing work is due
	Lag      float64   `json:"lagSeconds"`      // age of the oldest of it
	Forecast float64   `json:"forecastSeconds"` // longest wait of a door to come, from the ends that are known
	WaveAt   time.Time `json:"waveAt,omitzero"` // when that wave begins
}

type mappingStatus struct {
	File      string    `json:"file"`
	Revision  string    `json:"revision"`
	Loaded    time.Time `json:"loaded"`
	Refused   string    `json:"refused,omitempty"` // why the file on disk is not the one in force: a line for each mistake
	RefusedAt time.Time `json:"refusedAt,omitzero"`

	Unreadable string `json:"unreadable,omitempty"` // revision that another node put into force and this one's release cannot read
}

type entraStatus struct {
	URL        string    `json:"url"`
	LastAnswer time.Time `json:"lastAnswer,omitzero"`
	LastError  string    `json:"lastError,omitempty"`
	SkewSecs   float64   `json:"clockSkewSeconds"`
	Throttled  int64     `json:"throttled"`
	Quota      quotaUse  `json:"quota"`
}

// quotaUse is how the writes of the last 150 s compare with Entra's limit.
type quotaUse struct {
	Used       int     `json:"used"`
	Allowed    int     `json:"allowed"`    // in force: the documented limit, or less where Entra's answers said so
	Documented int     `json:"documented"` // as configured
	Waiting    int     `json:"waiting"`    // calls that stand in line
	OldestWait float64 `json:"oldestWaitSeconds"`
}

// listenAdmin makes the admin socket: mode 0660, group scimbridge where there is one. A socket file that a dead daemon left
// behind is replaced; one that answers is not.
func listenAdmin(path string) (net.Listener, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	var dialer net.Dialer
	if conn, err := dialer.DialContext(ctx, "unix", path); err == nil {
		_ = conn.Close()
		return nil, fmt.Errorf("admin_socket %s is in use by a running daemon; stop it, or give this one another socket", path)
	}
	if info, err := os.Stat(path); err == nil && info.Mode()&os.ModeSocket != 0 {
		_ = os.Remove(path)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("admin_socket cannot be made; create the folder %s, writable for the daemon's user, or set admin_socket: %w", filepath.Dir(path), err)
	}
	if err := os.Chmod(path, 0o660); err != nil { //nolint:gosec // the group may administer
		_ = l.Close()
		return nil, err
	}
	if gid, ok := lookupGroup(adminGroup); ok {
		_ = os.Chown(path, -1, gid) // without the right to: root and the daemon's user can administer
	}
	return l, nil
}

// adminHandler is the admin socket's API. Every request's peer is checked; there is no other door to it.
func (d *daemon) adminHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, r *http.Request) {
		st, err := d.status(r.Context())
		writeJSON(w, st, err)
	})
	mux.HandleFunc("POST /v1/reload", func(w http.ResponseWriter, r *http.Request) {
		p, _ := r.Context().Value(peerKey{}).(peer)
		revision, err := d.reload(r.Context(), p.name)
		writeJSON(w, map[string]string{"revision": revision}, err)
	})
	mux.HandleFunc("POST /v1/wake", func(w http.ResponseWriter, _ *http.Request) {
		d.loop.Wake()
		writeJSON(w, map[string]bool{"woken": true}, nil)
	})
	mux.HandleFunc("POST /v1/console", d.consoleLink)
	self := os.Geteuid()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, ok := r.Context().Value(peerKey{}).(peer)
		err := errors.New("the peer's credentials cannot be read")
		if ok {
			err = mayAdmin(p, self)
		}
		if err != nil {
			w.WriteHeader(http.StatusForbidden)
			_ = json.NewEncoder(w).Encode(map[string]string{"error": err.Error()})
			return
		}
		http.MaxBytesHandler(mux, 1<<20).ServeHTTP(w, r)
	})
}

func writeJSON(w http.ResponseWriter, v any, err error) {
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		w.WriteHeader(http.StatusUnprocessableEntity)
		v = map[string]string{"error": err.Error()}
	}
	_ = json.NewEncoder(w).Encode(v) // the peer is gone: nobody to tell
}

// errNoDaemon says that nothing answers on the admin socket.
var errNoDaemon = errors.New("no daemon answers on the admin socket")

// callAdmin asks the running daemon. errNoDaemon if there is none.
func callAdmin(ctx context.Context, socket, method, path string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	client := http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", socket)
		},
		DisableKeepAlives: true,
	}}
	req, err := http.NewRequestWithContext(ctx, method, "http://scimbridge"+path, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		var op *net.OpError
		if errors.As(err, &op) && op.Op == "dial" {
			if errors.Is(err, os.ErrPermission) {
				return fmt.Errorf("the admin socket %s may not be opened; use root or join the group %s", socket, adminGroup)
			}
			return fmt.Errorf("%w %s; start it (systemctl start scimbridge)", errNoDaemon, socket)
		}
		return fmt.Errorf("the daemon did not answer on %s: %w", socket, err)
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end
	body, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		var e struct{ Error string }
		if json.Unmarshal(body, &e) == nil && e.Error != "" {
			return errors.New(e.Error)
		}
		return fmt.Errorf("the daemon answered %s", resp.Status)
	}
	return json.Unmarshal(body, into)
}
