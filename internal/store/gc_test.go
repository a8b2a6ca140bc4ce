package store

import (
	"slices"
	"testing"
	"time"
)

func TestBucket(t *testing.T) {
	last := -1
	for age := time.Duration(0); age < 3*maxAge; age += age/100 + 17*time.Second {
		b := bucket(age)
		if b < last || b > 200_000 {
			t.Fatalf("bucket(%v) = %d after %d", age, b, last)
		}
		last = b
	}
	for _, test := range []struct {
		age  time.Duration
		want int
	}{
		{-time.Hour, 0},
		{0, 0},
		{59 * time.Second, 0},
		{time.Minute, 1},
		{fineAge - 1, 119},
		{fineAge, 120},
		{fineAge + time.Hour - 1, 120},
		{fineAge + time.Hour, 121},
		{1 << 62, bucket(maxAge)},
	} {
		if got := bucket(test.age); got != test.want {
			t.Errorf("bucket(%v) = %d, want %d", test.age, got, test.want)
		}
	}
}

// TestAgeKeyOrder: the queue of eviction, first to go first.
func TestAgeKeyOrder(t *testing.T) {
	want := []ageKey{
		{false, 0, 500}, {false, 0, 2},
		{false, 1, 900}, {false, 1, 3},
		{true, 0, 70}, {true, 0, 0},
		{true, 1, 70},
	}
	got := slices.Clone(want)
	slices.Reverse(got)
	slices.SortFunc(got, ageKey.compare)
	if !slices.Equal(got, want) {
		t.Errorf("order is %v, want %v", got, want)
	}
	for _, k := range want {
		if k.compare(k) != 0 {
			t.Errorf("%v differs from itself", k)
		}
	}
}
