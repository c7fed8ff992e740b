package main

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// result is what a measurement found.
type result struct {
	rate          float64 // a second
	p50, p99, max time.Duration
	count, last   int

	cpu    time.Duration // of the server, for one request; 0: not known
	allocs float64       // of the server, for one request; 0: not known
	bytes  float64       // allocated, for one request
}

func newResult(took [][]time.Duration, whole time.Duration) *result {
	all := slices.Concat(took...)
	if len(all) == 0 {
		return &result{}
	}
	slices.Sort(all)
	return &result{
		rate: float64(len(all)) / whole.Seconds(), count: len(all),
		p50: all[len(all)/2], p99: all[len(all)*99/100], max: all[len(all)-1],
	}
}

// median is the result of the middle rate.
func median(rounds []*result) *result {
	sorted := slices.SortedFunc(slices.Values(rounds), func(a, b *result) int {
		switch {
		case a.rate < b.rate:
			return -1
		case a.rate > b.rate:
			return 1
		}
		return 0
	})
	return sorted[len(sorted)/2]
}

// usage is what a process has used so far.
type processUse struct {
	cpu time.Duration // user and system
	rss int64         // bytes, now
}

// clockTick is the unit of /proc/PID/stat on Linux.
const clockTick = 10 * time.Millisecond

// useOf reads what a process has used from /proc.
func useOf(pid int) (u processUse, err error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return u, err
	}
	_, rest, ok := strings.Cut(string(stat), ") ") // the name may hold spaces
	fields := strings.Fields(rest)
	if !ok || len(fields) < 22 {
		return u, fmt.Errorf("/proc/%d/stat cannot be read", pid)
	}
	for _, f := range fields[11:13] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return u, err
		}
		u.cpu += time.Duration(n) * clockTick
	}
	pages, err := strconv.ParseInt(fields[21], 10, 64)
	u.rss = pages * int64(os.Getpagesize())
	return u, err
}

// table prints rows of one width each, as Markdown does.
type table struct{ rows [][]string }

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

func (t *table) print() {
	widths := make([]int, len(t.rows[0]))
	for _, r := range t.rows {
		for i, c := range r {
			widths[i] = max(widths[i], len([]rune(c)))
		}
	}
	for n, r := range t.rows {
		for i, c := range r {
			fmt.Printf("| %s%s ", c, strings.Repeat(" ", widths[i]-len([]rune(c))))
		}
		fmt.Println("|")
		if n == 0 {
			for _, w := range widths {
				fmt.Print("|", strings.Repeat("-", w+2))
			}
			fmt.Println("|")
		}
	}
	fmt.Println()
}

func ms(d time.Duration) string { return strconv.FormatFloat(d.Seconds()*1000, 'f', 1, 64) }
func rate(f float64) string     { return strconv.FormatFloat(f, 'f', 0, 64) }
func ratio(a, b float64) string {
	if b == 0 {
		return "-"
	}
	return strconv.FormatFloat(a/b, 'f', 2, 64)
}
func micro(d time.Duration) string {
	if d == 0 {
		return "-"
	}
	return strconv.FormatInt(d.Microseconds(), 10)
}
func mib(n int64) string { return strconv.FormatInt(n>>20, 10) + " MiB" }
