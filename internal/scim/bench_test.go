package scim_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
	"scimbridge/internal/scim"
)

// The benchmarks come in two kinds. BenchmarkHTTP… measure whole requests over loopback by 1 and 64 clients, beside what they are
// to be compared with: Echo's hello, and the store without the door. BenchmarkServe… call the handler without a network: their
// allocations are the door's and the store's alone.

func openBench(b *testing.B) *world {
	b.Helper()
	v := acme()
	v.RatePerSec = -1
	return newWorld(b, func(c *scim.Config) { c.Limits.Concurrent = -1 }, v)
}

// contractorBody is a User as a vendor system sends it, 1.4 KB.
func contractorBody(n int64) string {
	return fmt.Sprintf(`{"schemas":["%[1]s","%[2]s","%[3]s"],"externalId":"P%08[4]d","userName":"worker.%08[4]d@acme.example",
"name":{"formatted":"Worker Number %[4]d","familyName":"Number %[4]d","givenName":"Worker"},"displayName":"Worker Number %[4]d","title":"Senior Developer","userType":"contractor",
"preferredLanguage":"de-DE","locale":"de-DE","timezone":"Europe/Berlin","active":true,
"emails":[{"value":"worker.%08[4]d@acme.example","type":"work","primary":true}],"phoneNumbers":[{"value":"+49 30 %08[4]d","type":"work"}],
"addresses":[{"type":"work","streetAddress":"Hauptstr. 1","locality":"Berlin","postalCode":"10115","country":"DE","formatted":"Hauptstr. 1, 10115 Berlin, Germany"}],
"%[2]s":{"employeeNumber":"E%08[4]d","costCenter":"CC-4711","organization":"ACME Consulting","division":"Engineering","department":"Finance","manager":{"value":"boss@corp.example","displayName":"The Boss"}},
"%[3]s":{"workerId":"W%08[4]d","personId":"H%08[4]d","engagementId":"WO-%08[4]d","engagementType":"contractor","startDate":"2026-01-01","endDate":"2099-12-31","supplier":"ACME Consulting","supplierId":"S-1","purchaseOrder":"PO-77","sponsorEmail":"sponsor@corp.example","site":"Berlin","country":"DE","jobCode":"DEV"}}`,
		urnUser, urnEnterprise, urnContractor, n)
}

// fill stores n Users, without HTTP and without waiting for each.
func (w *world) fill(b *testing.B, n int) []string {
	b.Helper()
	all := prepared(b, n)
	clients(b, 64, n, func(i int64) { w.put(b, &all[i-1]) })
	ids := make([]string, n)
	for i := range all {
		ids[i] = all[i].ID
	}
	return ids
}

// prepared are Users as the door would store them.
func prepared(b *testing.B, n int) []contractor.Engagement {
	b.Helper()
	reader, err := scim.NewReader(acme())
	if err != nil {
		b.Fatal(err)
	}
	now := time.Now().UTC()
	all := make([]contractor.Engagement, n)
	for i := range all {
		if all[i], err = reader.Engagement(uuid.NewString(), []byte(contractorBody(int64(i+1))), now); err != nil {
			b.Fatal(err)
		}
	}
	return all
}

// put stores one User.
func (w *world) put(b *testing.B, e *contractor.Engagement) {
	_, err := w.store.Create(context.Background(), *e, 0, audit.Event{
		Time: e.Created, Kind: "engagement.created", Actor: audit.Actor{Kind: audit.ActorVendor, Name: "acme"}, Outcome: audit.Done, Engagement: e.ID, Vendor: "acme",
		Detail:   []byte(`{"token":"token-of-acme","changed":["userName","emails"]}`),
		Personal: []byte(`{"userName":"worker@acme.example","email":"worker@acme.example","name":"Worker Number"}`),
	})
	if err != nil {
		b.Error(err)
	}
}

// clients calls f for 1 to total, in n goroutines at once.
func clients(b *testing.B, n, total int, f func(i int64)) {
	b.Helper()
	var next atomic.Int64
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(total); i = next.Add(1) {
				f(i)
			}
		})
	}
	wg.Wait()
}

// measure runs a benchmark by 1 and by 64 clients, and reports requests a second and the 99th percentile.
func measure(b *testing.B, run func(b *testing.B) func(i int64)) {
	for _, n := range []int{1, 64} {
		b.Run(fmt.Sprintf("clients=%d", n), func(b *testing.B) {
			f := run(b)
			took := make([]time.Duration, b.N)
			b.ResetTimer()
			clients(b, n, b.N, func(i int64) {
				begun := time.Now()
				f(i)
				took[i-1] = time.Since(begun)
			})
			b.StopTimer()
			slices.Sort(took)
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "req/s")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
		})
	}
}

// caller makes requests over kept connections.
func (w *world) caller(b *testing.B) func(method, path, body string, want int) {
	transport := &http.Transport{MaxIdleConnsPerHost: 128, DialContext: (&net.Dialer{}).DialContext, DisableCompression: true}
	b.Cleanup(transport.CloseIdleConnections)
	client := &http.Client{Transport: transport}
	auth := "Bearer " + w.tokens["acme"]
	return func(method, path, body string, want int) {
		var in io.Reader
		if body != "" {
			in = strings.NewReader(body)
		}
		r, err := http.NewRequest(method, w.server.URL+path, in)
		if err != nil {
			b.Error(err)
			return
		}
		r.Header.Set("Authorization", auth)
		r.Header.Set("Content-Type", "application/scim+json")
		resp, err := client.Do(r)
		if err != nil {
			b.Error(err)
			return
		}
		answer, err := io.ReadAll(resp.Body)
		if err := errorsJoin(err, resp.Body.Close()); err != nil || resp.StatusCode != want {
			b.Errorf("%s %s: %d %v\n%.300s", method, path, resp.StatusCode, err, answer)
		}
	}
}

// BenchmarkHTTPHello is the ceiling of reads.
func BenchmarkHTTPHello(b *testing.B) {
	e := echo.New()
	e.GET("/hello", func(c echo.Context) error { return c.String(http.StatusOK, "hello") })
	server := httptest.NewServer(e)
	b.Cleanup(server.Close)
	w := &world{t: b, server: server, tokens: map[string]string{"acme": "x"}}
	call := w.caller(b)
	measure(b, func(*testing.B) func(int64) { return func(int64) { call("GET", "/hello", "", 200) } })
}

// BenchmarkStoreCreate is the ceiling of writes: the same rows without the door.
func BenchmarkStoreCreate(b *testing.B) {
	measure(b, func(b *testing.B) func(int64) {
		w, all := openBench(b), prepared(b, b.N)
		return func(i int64) { w.put(b, &all[i-1]) }
	})
}

func BenchmarkHTTPCreate(b *testing.B) {
	measure(b, func(b *testing.B) func(int64) {
		w := openBench(b)
		call := w.caller(b)
		return func(i int64) { call("POST", scim.Base+"/Users", contractorBody(i), 201) }
	})
}

const benchUsers = 1000

func BenchmarkHTTPGet(b *testing.B) {
	w := openBench(b)
	ids := w.fill(b, benchUsers)
	call := w.caller(b)
	measure(b, func(*testing.B) func(int64) {
		return func(i int64) { call("GET", scim.Base+"/Users/"+ids[i%benchUsers], "", 200) }
	})
}

func BenchmarkHTTPFilterUserName(b *testing.B) {
	w := openBench(b)
	w.fill(b, benchUsers)
	call := w.caller(b)
	measure(b, func(*testing.B) func(int64) {
		return func(i int64) {
			call("GET", fmt.Sprintf("%s/Users?filter=userName+eq+%%22worker.%08d%%40acme.example%%22", scim.Base, i%benchUsers+1), "", 200)
		}
	})
}

func BenchmarkHTTPList100(b *testing.B) {
	w := openBench(b)
	w.fill(b, benchUsers)
	call := w.caller(b)
	measure(b, func(*testing.B) func(int64) {
		return func(i int64) {
			call("GET", fmt.Sprintf("%s/Users?startIndex=%d&count=100", scim.Base, i%9*100+1), "", 200)
		}
	})
}

func BenchmarkHTTPPatchActive(b *testing.B) {
	off, on := patchBody(`{"op":"replace","path":"active","value":false}`), patchBody(`{"op":"replace","path":"active","value":true}`)
	measure(b, func(b *testing.B) func(int64) {
		w := openBench(b)
		ids := w.fill(b, benchUsers)
		call := w.caller(b)
		return func(i int64) {
			body := off
			if i/benchUsers%2 == 1 {
				body = on
			}
			call("PATCH", scim.Base+"/Users/"+ids[i%benchUsers], body, 200)
		}
	})
}

// serve calls the door's handler without a network.
func (w *world) serve(b *testing.B, method, path, body string, want int) {
	r := httptest.NewRequest(method, scim.Base+path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+w.tokens["acme"])
	r.Header.Set("Content-Type", "application/scim+json")
	rec := httptest.NewRecorder()
	w.server.Config.Handler.ServeHTTP(rec, r)
	if rec.Code != want {
		b.Fatalf("%s %s: %d\n%s", method, path, rec.Code, rec.Body)
	}
}

func BenchmarkServeCreate(b *testing.B) {
	w := openBench(b)
	n := int64(0)
	b.ReportAllocs()
	for b.Loop() {
		n++
		w.serve(b, "POST", "/Users", contractorBody(n), 201)
	}
}

func BenchmarkServeGet(b *testing.B) {
	w := openBench(b)
	ids := w.fill(b, benchUsers)
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		n++
		w.serve(b, "GET", "/Users/"+ids[n%benchUsers], "", 200)
	}
}

func BenchmarkServeFilterUserName(b *testing.B) {
	w := openBench(b)
	w.fill(b, benchUsers)
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		n++
		w.serve(b, "GET", fmt.Sprintf("/Users?filter=userName+eq+%%22worker.%08d%%40acme.example%%22", n%benchUsers+1), "", 200)
	}
}

func BenchmarkServeList100(b *testing.B) {
	w := openBench(b)
	w.fill(b, benchUsers)
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		n++
		w.serve(b, "GET", fmt.Sprintf("/Users?startIndex=%d&count=100", n%9*100+1), "", 200)
	}
}

func BenchmarkServePatchActive(b *testing.B) {
	w := openBench(b)
	ids := w.fill(b, benchUsers)
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		n++
		w.serve(b, "PATCH", "/Users/"+ids[n%benchUsers], patchBody(fmt.Sprintf(`{"op":"replace","path":"active","value":%v}`, n/benchUsers%2 == 1)), 200)
	}
}

func BenchmarkNormalise(b *testing.B) {
	reader, err := scim.NewReader(acme())
	if err != nil {
		b.Fatal(err)
	}
	body := []byte(contractorBody(7))
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := reader.Normalise(body); err != nil {
			b.Fatal(err)
		}
	}
}
