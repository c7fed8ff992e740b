package contractor

import "time"

// Closings are the doors that wait to be closed, and those that will.
type Closings struct {
	Waiting int       // people whose closing work is due, counted up to 10,000
	Oldest  time.Time // since when the longest waiting one is; zero: none
	Minutes []MinuteEnds
}

// MinuteEnds is how many engagements end within one minute.
type MinuteEnds struct {
	Minute time.Time
	Ends   int
}

// PaceAlarm is what is wrong with the loop's pace; "" nothing.
type PaceAlarm string

// Behind: an end waits to be closed. Wave: more contracts will end at a time than can be closed in time.
const (
	PaceBehind PaceAlarm = "behind"
	PaceWave   PaceAlarm = "wave"
)

// PaceReport is how the loop keeps up with the ends of contracts.
type PaceReport struct {
	At      time.Time
	Alarm   PaceAlarm
	Words   string        // what is wrong, and what to do
	Waiting int           // closing work that is due
	Lag     time.Duration // age of the oldest of it
	Delay   time.Duration // longest wait of a door that is to come, as far as ends are known
	WaveAt  time.Time     // when that wave begins; zero: none
}
