package main

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"scimbridge/internal/db"
	"scimbridge/internal/db/pgtest"
)

// cuttable is the way of one node to the database: a proxy that can fall silent, as a network does that is cut. What was under way neither arrives nor ends.
type cuttable struct {
	listener net.Listener
	target   string

	mu    sync.Mutex
	cut   bool
	heal  chan struct{} // closed when the way is open again
	conns []net.Conn
}

func newCuttable(t *testing.T, target string) *cuttable {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ok(t, err)
	c := &cuttable{listener: l, target: target, heal: make(chan struct{})}
	go c.accept()
	t.Cleanup(func() { _ = l.Close(); c.mend() })
	return c
}

func (c *cuttable) accept() {
	for {
		in, err := c.listener.Accept()
		if err != nil {
			return
		}
		c.mu.Lock()
		c.conns = append(c.conns, in)
		c.mu.Unlock()
		go func() {
			c.wait()
			out, err := net.Dial("tcp", c.target)
			if err != nil {
				_ = in.Close()
				return
			}
			go c.pipe(out, in)
			c.pipe(in, out)
		}()
	}
}

// wait holds everything back while the way is cut.
func (c *cuttable) wait() {
	c.mu.Lock()
	cut, heal := c.cut, c.heal
	c.mu.Unlock()
	if cut {
		<-heal
	}
}

func (c *cuttable) pipe(to, from net.Conn) {
	defer to.Close()   //nolint:errcheck // a test
	defer from.Close() //nolint:errcheck // a test
	b := make([]byte, 64<<10)
	for {
		n, err := from.Read(b)
		c.wait()
		if n > 0 {
			if _, err := to.Write(b[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (c *cuttable) sever() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = true
}

// mend opens the way for new connections; the old ones are gone, as after a long silence.
func (c *cuttable) mend() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.cut {
		return
	}
	c.cut = false
	close(c.heal)
	c.heal = make(chan struct{})
	for _, conn := range c.conns {
		_ = conn.Close()
	}
	c.conns = nil
}

// TestNodesUnderFire kills, freezes and cuts off whichever of three nodes leads, again and again, while a vendor pushes through all of them. SCIMBRIDGE_ROUNDS says how often.
func TestNodesUnderFire(t *testing.T) {
	n, seed := 0, uint64(time.Now().UnixNano())
	if s := os.Getenv("SCIMBRIDGE_ROUNDS"); s != "" {
		n, _ = strconv.Atoi(s)
	}
	if s := os.Getenv("SCIMBRIDGE_SEED"); s != "" {
		seed, _ = strconv.ParseUint(s, 10, 64)
	}
	if n == 0 {
		t.Skip("the long form of TestNodes; SCIMBRIDGE_ROUNDS says how often")
	}
	dice := rand.New(rand.NewPCG(seed, 4))
	server, err := pgtest.Start(t.Context())
	if errors.Is(err, pgtest.ErrMissing) {
		t.Skip(err)
	}
	ok(t, err)
	t.Cleanup(func() { ok(t, server.Stop()) })
	database, err := server.Database(t.Context(), "")
	ok(t, err)
	address := server.URL(database)
	tenant, peers := startPeers(t, address)
	ways := make([]*cuttable, len(peers))
	target := net.JoinHostPort("127.0.0.1", strconv.Itoa(server.Port))
	for i, p := range peers { // each node by a way of its own
		p.kill()
		ways[i] = newCuttable(t, target)
		b, err := os.ReadFile(p.config)
		ok(t, err)
		text := strings.Replace(string(b), target, ways[i].listener.Addr().String(), 1)
		if text == string(b) {
			t.Fatalf("%s does not name %s", p.config, target)
		}
		ok(t, os.WriteFile(p.config, []byte(text), 0o600))
		p.start(t)
	}
	leader := func(except int) int {
		for i, p := range peers {
			if i != except && p.cmd != nil && p.role(t.Context()) == string(roleLeader) {
				return i
			}
		}
		return -1
	}
	eventually(t, 60*time.Second, "one leads", func() bool { return leader(-1) >= 0 })
	v := &pusher{peers: peers, stop: make(chan struct{})}
	var pushing sync.WaitGroup
	pushing.Go(v.run)
	for round := range n {
		victim := -1
		eventually(t, 30*time.Second, "one leads", func() bool { victim = leader(-1); return victim >= 0 })
		begun, what, limit := time.Now(), dice.IntN(3), 12*time.Second
		switch what {
		case 0:
			peers[victim].kill()
			limit = 3 * time.Second // one second, on a machine with nothing else to do
		case 1:
			ok(t, peers[victim].cmd.Process.Signal(syscall.SIGSTOP))
		case 2:
			ways[victim].sever()
		}
		eventually(t, 30*time.Second, "another leads", func() bool { return leader(victim) >= 0 })
		took := time.Since(begun)
		t.Logf("round %d: the leader %s, another leads after %s", round, []string{"killed", "frozen", "cut off"}[what], took.Round(time.Millisecond))
		if took > limit {
			t.Errorf("round %d: another leads after %s only", round, took)
		}
		time.Sleep(time.Duration(dice.IntN(3000)) * time.Millisecond)
		switch what {
		case 0:
			peers[victim].start(t)
		case 1:
			ok(t, peers[victim].cmd.Process.Signal(syscall.SIGCONT))
		case 2:
			ways[victim].mend()
		}
		eventually(t, 60*time.Second, "the old leader stands by", func() bool { return peers[victim].role(t.Context()) == string(roleStandby) })
	}
	close(v.stop)
	pushing.Wait()
	eventually(t, 120*time.Second, "everybody acknowledged is invited", func() bool {
		state := tenant.State()
		for mail := range v.acknowledged {
			if guestOf(state, mail) == nil {
				return false
			}
		}
		return true
	})
	invited := map[string]int{}
	for _, i := range tenant.State().Invitations {
		if invited[i.Address]++; invited[i.Address] > 1 {
			t.Errorf("%s was invited %d times", i.Address, invited[i.Address])
		}
	}
	store, err := db.Open(t.Context(), db.Config{Path: address})
	ok(t, err)
	defer store.Close() //nolint:errcheck // a test
	if _, _, err := store.VerifyJournal(t.Context()); err != nil {
		t.Error(err)
	}
	for mail, id := range v.acknowledged {
		if _, err := store.Get(t.Context(), "okta", id); err != nil {
			t.Errorf("%s was acknowledged: %v", mail, err)
		}
	}
	t.Logf("seed %d, %d rounds: %d records acknowledged, %d pushes sent to another node, the longest without an acknowledgement %s, %d invitations", seed, n, len(v.acknowledged), v.elsewhere, v.gap.Round(time.Millisecond), len(invited))
}

// pusher creates contractors, at whichever node answers, as behind a load balancer.
type pusher struct {
	peers        []*bridgeNode
	stop         chan struct{}
	acknowledged map[string]string // address -> id
	elsewhere    int
	gap          time.Duration
}

func (v *pusher) run() {
	v.acknowledged = map[string]string{}
	last := time.Now()
	httpClient := &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for i := 0; ; i++ {
		select {
		case <-v.stop:
			return
		case <-time.After(100 * time.Millisecond):
		}
		given := fmt.Sprint("fire", i)
		mail := given + "@kforce.example"
		body := strings.NewReplacer("00uj1y4nGd7uJ5rUQ0g4", "id-"+given, "KF-20017", "KF-"+given).Replace(okta(mail, "Ada", given, "Developer", time.Now().Add(240*time.Hour)))
		for k := range v.peers {
			p := v.peers[(i+k)%len(v.peers)]
			req, err := http.NewRequest(http.MethodPost, p.client.base+"/Users", strings.NewReader(body))
			if err != nil {
				return
			}
			req.Header.Set("Authorization", "Bearer "+p.client.token)
			req.Header.Set("Content-Type", "application/scim+json")
			resp, err := httpClient.Do(req)
			if err != nil {
				v.elsewhere++
				continue
			}
			b, _ := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusCreated {
				_, rest, _ := strings.Cut(string(b), `"id":"`)
				v.acknowledged[mail], _, _ = strings.Cut(rest, `"`)
				v.gap = max(v.gap, time.Since(last))
				last = time.Now()
				break
			}
			if resp.StatusCode == http.StatusConflict {
				break // stored by the node that did not answer
			}
			v.elsewhere++
		}
	}
}
