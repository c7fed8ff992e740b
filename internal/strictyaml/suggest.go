package strictyaml

import "strings"

// maxSuggest is the longest word, in bytes, for which Suggest looks for a neighbour; it
// bounds the work that a hostile file can cause.
const maxSuggest = 100

// Suggest returns the candidate that the writer of word most likely meant, or "" when none
// is near. Case, "_", "-" and blanks do not count as differences; otherwise one slip
// (a letter missing, added, wrong, or two swapped) is allowed for each three letters.
// Of several equally near candidates the first wins.
func Suggest(word string, candidates []string) string {
	if len(word) > maxSuggest {
		return ""
	}
	w := []rune(fold(word))
	best, bestDistance := "", len(w)/3+1
	for _, c := range candidates {
		if len(c) > maxSuggest {
			continue
		}
		f := []rune(fold(c))
		if diff := len(f) - len(w); diff >= bestDistance || -diff >= bestDistance {
			continue
		}
		if d := distance(w, f); d < bestDistance {
			best, bestDistance = c, d
		}
	}
	return best
}

// didYouMean returns ` (did you mean "x"?)`, or "" when nothing is near.
func didYouMean(word string, candidates []string) string {
	if s := Suggest(word, candidates); s != "" {
		return ` (did you mean ` + quote(s) + `?)`
	}
	return ""
}

func fold(s string) string {
	return strings.NewReplacer("_", "", "-", "", " ", "").Replace(strings.ToLower(s))
}

// distance is the optimal string alignment distance: insertions, deletions, replacements
// and swaps of neighbours that turn a into b.
func distance(a, b []rune) int {
	before, prev, cur := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], before[j-2]+1)
			}
		}
		before, prev, cur = prev, cur, before
	}
	return prev[len(b)]
}
