package emulator

import (
	"encoding/binary"
	"hash/fnv"
	"time"

	"github.com/google/uuid"
)

// dice makes every random decision. A draw depends on the seed, on what it is for
// and on how often that was asked before, not on the order in which unrelated
// callers arrive: concurrent callers that each do the same again meet the same luck.
type dice struct {
	seed  uint64
	times map[uint64]uint32
}

func newDice(seed uint64) *dice { return &dice{seed: seed, times: map[uint64]uint32{}} }

func (d *dice) draw(kind, key string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(kind))
	h.Write([]byte{0})
	h.Write([]byte(key))
	k := h.Sum64()
	n := d.times[k]
	d.times[k] = n + 1
	return mix(mix(k^d.seed) + uint64(n)*0x9e3779b97f4a7c15)
}

// mix is the finaliser of SplitMix64 (Steele, Lea and Flood, 2014).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb
	return x ^ (x >> 31)
}

// chance is true with probability p.
func (d *dice) chance(p float64, kind, key string) bool {
	if p <= 0 {
		return false
	}
	return float64(d.draw(kind, key)>>11)/(1<<53) < p
}

// pick returns a number from 0 to n-1.
func (d *dice) pick(n int, kind, key string) int {
	return int(d.draw(kind, key) % uint64(n)) //nolint:gosec // n is positive and small
}

// upTo returns a duration from 0 to limit, in milliseconds.
func (d *dice) upTo(limit time.Duration, kind, key string) time.Duration {
	ms := limit.Milliseconds()
	if ms <= 0 {
		return 0
	}
	return time.Duration(d.draw(kind, key)%uint64(ms+1)) * time.Millisecond //nolint:gosec // less than limit
}

// newID returns a GUID.
func (d *dice) newID(kind, key string) string {
	var id uuid.UUID
	binary.BigEndian.PutUint64(id[:8], d.draw("id "+kind, key))
	binary.BigEndian.PutUint64(id[8:], d.draw("id "+kind, key))
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return id.String()
}
