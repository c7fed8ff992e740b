package scim

import "time"

// Limits bound what a request, and a vendor, may cost. A zero field takes its default; a negative rate or cap means none.
type Limits struct {
	Body        int64         // bytes of a request body; 256 KiB
	BulkBody    int64         // bytes of a Bulk request, advertised as maxPayloadSize; 1 MiB
	Depth       int           // nesting of JSON; 12
	Values      int           // JSON values in a body; 10,000 (six times that in a Bulk request)
	PatchOps    int           // operations of one PATCH; 100
	BulkOps     int           // operations of one Bulk request, advertised as maxOperations; 1000
	Filter      int           // bytes of a filter; 8192
	Terms       int           // comparisons in a filter; 100
	Nesting     int           // parentheses in a filter; 16
	Page        int           // resources on a page where the client names no count; 100
	MaxPage     int           // resources on a page at most, advertised as maxResults; 500
	Rate        float64       // requests a second and vendor, where the vendor's settings name none; 200, bursts of twice that
	Concurrent  int           // requests of one vendor under way at once; 128
	Connections int           // of one vendor, those of a proxy aside; 256
	Strangers   int           // connections over which nobody has signed in, of everybody together; 1024, then the oldest goes
	Timeout     time.Duration // of one request, reading its body included; 30 s
}

func (l Limits) withDefaults() Limits {
	def := func(n *int, d int) {
		if *n == 0 {
			*n = d
		}
	}
	if l.Body == 0 {
		l.Body = 256 << 10
	}
	if l.BulkBody == 0 {
		l.BulkBody = 1 << 20
	}
	if l.Rate == 0 {
		l.Rate = 200
	}
	if l.Timeout == 0 {
		l.Timeout = 30 * time.Second
	}
	def(&l.Depth, 12)
	def(&l.Values, 10_000)
	def(&l.PatchOps, 100)
	def(&l.BulkOps, 1000)
	def(&l.Filter, 8192)
	def(&l.Terms, 100)
	def(&l.Nesting, 16)
	def(&l.Page, 100)
	def(&l.MaxPage, 500)
	def(&l.Concurrent, 128)
	def(&l.Connections, 256)
	def(&l.Strangers, 1024)
	return l
}

func (l Limits) json() jsonLimits     { return jsonLimits{depth: l.Depth, values: l.Values} }
func (l Limits) bulk() jsonLimits     { return jsonLimits{depth: l.Depth + 4, values: 6 * l.Values} }
func (l Limits) filter() filterLimits { return filterLimits{l.Filter, l.Terms, l.Nesting} }
