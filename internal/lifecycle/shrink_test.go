package lifecycle_test

import (
	"slices"
	"testing"
)

// shrink looks for the shortest story that still fails, in at most so many tries: first it leaves out events, in large pieces and
// then one by one, then it makes those that are left simpler. The story that is given must fail.
func shrink[T any](story []T, tries int, fails func([]T) bool, simpler func(T) []T) []T {
	attempt := func(s []T) bool {
		if tries <= 0 {
			return false
		}
		tries--
		return fails(s)
	}
	for piece := max(len(story)/2, 1); ; {
		cut := false
		for from := 0; from < len(story) && len(story) > 1; {
			shorter := slices.Delete(slices.Clone(story), from, min(from+piece, len(story)))
			if len(shorter) > 0 && attempt(shorter) {
				story, cut = shorter, true
			} else {
				from += piece
			}
		}
		if piece == 1 && !cut || tries <= 0 {
			break
		}
		if !cut {
			piece = max(piece/2, 1)
		}
	}
	for again := true; again; {
		again = false
		for i := range story {
			for _, e := range simpler(story[i]) {
				s := slices.Clone(story)
				s[i] = e
				if attempt(s) {
					story, again = s, true
					break
				}
			}
		}
	}
	return story
}

func TestShrink(t *testing.T) {
	var story []int
	for i := range 40 {
		story = append(story, 100+i)
	}
	// It fails where something of at least 7 comes before something of at least 20, and both are there.
	told := 0
	fails := func(s []int) bool {
		told++
		seven := slices.IndexFunc(s, func(n int) bool { return n >= 7 })
		return seven >= 0 && slices.ContainsFunc(s[seven+1:], func(n int) bool { return n >= 20 })
	}
	got := shrink(story, 500, fails, func(n int) []int { return []int{n / 2, n - 1} })
	if !slices.Equal(got, []int{7, 20}) {
		t.Errorf("shrunk to %v after %d tries, want [7 20]", got, told)
	}
	told = 0
	if got := shrink(story, 10, fails, func(int) []int { return nil }); told > 10 || !fails(got) {
		t.Errorf("%d tries of 10, left with %v", told, got)
	}
}
