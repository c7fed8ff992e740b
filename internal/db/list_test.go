package db_test

import "testing"

func testLists(t *testing.T, open opener)       {}
func testEngagements(t *testing.T, open opener) {}
