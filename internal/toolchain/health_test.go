package toolchain

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func testHealth(t *testing.T, file string, now *time.Time) *Health {
	t.Helper()
	h := LoadHealth(file)
	h.now = func() time.Time { return *now }
	return h
}

func TestHealthSort(t *testing.T) {
	now := time.Unix(1e9, 0)
	h := testHealth(t, filepath.Join(t.TempDir(), "places.json"), &now)
	place := func(name string) Place {
		return Place{Name: name, URL: "https://user:pw@" + name + ".test/", Kind: Archives}
	}
	fast, faster, slow, down, unknown := place("fast"), place("faster"), place("slow"), place("down"), place("unknown")
	disk := Place{Name: "disk", URL: "file:///srv", Kind: Archives}
	own, ownDown := place("own"), place("own-down")
	own.Own, ownDown.Own = true, true
	h.Brought(fast, 10<<20, 10*time.Second)
	h.Brought(faster, 100<<20, 10*time.Second)
	h.Brought(slow, 1<<20, 100*time.Second)
	h.Brought(unknown, 1000, time.Millisecond) // too little to say something
	h.Brought(down, 100<<20, time.Second)
	h.Failed(down, FaultCut)
	h.Failed(ownDown, FaultLink)
	h.Failed(unknown, FaultAbsent) // is no failure
	all := []Place{down, ownDown, slow, unknown, fast, own, faster, disk}
	wantEqual(t, "order", placeNames(h.Sort(all)), []string{"disk", "own", "faster", "fast", "unknown", "slow", "down", "own-down"})
	wantEqual(t, "order without a Health", placeNames((*Health)(nil).Sort(all)), []string{"disk", "own-down", "own", "down", "slow", "unknown", "fast", "faster"})

	now = now.Add(firstDown)
	wantEqual(t, "order later", placeNames(h.Sort(all)), []string{"disk", "own-down", "own", "down", "faster", "fast", "unknown", "slow"})
	now = now.Add(healthAge)
	wantEqual(t, "order much later", placeNames(h.Sort(all)), []string{"disk", "own-down", "own", "down", "slow", "unknown", "fast", "faster"})
}

func TestHealthSave(t *testing.T) {
	now := time.Unix(1e9, 0)
	file := filepath.Join(t.TempDir(), "sdk", ".places.json")
	a, b := Place{URL: "https://user:hunter2@a.test/?token=hunter2", Kind: Modules}, Place{URL: "https://b.test", Kind: Modules}
	one, two := testHealth(t, file, &now), testHealth(t, file, &now)
	one.Brought(a, 1<<20, time.Second)
	now = now.Add(time.Second)
	two.Brought(b, 2<<20, time.Second)
	two.Failed(b, FaultStalled)
	for _, h := range []*Health{one, two, nil} {
		if err := h.Save(); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(file)
	if err != nil || len(data) == 0 || containsSecret(data) {
		t.Fatalf("kept %s, error %v", data, err)
	}
	both := testHealth(t, file, &now)
	wantEqual(t, "a", both.Of(a).Rate, float64(1<<20))
	wantEqual(t, "b", both.Of(b).Fault, FaultStalled)
	wantEqual(t, "b's failures", both.Of(b).Failures, 1)

	now = now.Add(2 * healthAge)
	if err := both.Save(); err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "what is left much later", len(readHealth(file)), 0)
	if err := os.WriteFile(file, []byte("null"), 0o666); err != nil {
		t.Fatal(err)
	}
	damaged := testHealth(t, file, &now)
	damaged.Brought(a, 1<<20, time.Second)
	wantEqual(t, "a after damage", damaged.Of(a).Rate, float64(1<<20))
}
