package draw

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A browser is a headless Chromium, driven by chromedriver (https://www.w3.org/TR/webdriver2/).
type browser struct {
	t    *testing.T
	base string // of the session
}

// open starts a browser with a profile of its own; neither asks anybody for anything.
func open(t *testing.T) *browser {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	cmd := exec.Command("chromedriver", fmt.Sprintf("--port=%d", port))
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v: make test-deps installs chromium-driver", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	b := &browser{t: t, base: fmt.Sprintf("http://127.0.0.1:%d", port)}
	b.ready()
	var session struct {
		SessionID string `json:"sessionId"`
	}
	args := []string{
		"--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=1400,900",
		"--user-data-dir=" + filepath.Join(t.TempDir(), "profile"),
	}
	b.do("POST", "/session", map[string]any{"capabilities": map[string]any{"alwaysMatch": map[string]any{
		"browserName": "chrome", "goog:chromeOptions": map[string]any{"args": args}, "goog:loggingPrefs": map[string]string{"browser": "ALL"},
	}}}, &session)
	b.base += "/session/" + session.SessionID
	t.Cleanup(func() { b.do("DELETE", "", nil, nil) })
	return b
}

// ready waits until chromedriver answers.
func (b *browser) ready() {
	b.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for range 1500 {
		if resp, err := http.Get(b.base + "/status"); err == nil {
			resp.Body.Close()
			return
		}
		<-tick.C
	}
	b.t.Fatal("chromedriver does not answer")
}

// do sends a command and decodes the value of its answer.
func (b *browser) do(method, path string, body, value any) {
	b.t.Helper()
	data, err := json.Marshal(body)
	if err != nil {
		b.t.Fatal(err)
	}
	var r io.Reader
	if method == "POST" {
		r = bytes.NewReader(data)
	}
	req, err := http.NewRequest(method, b.base+path, r)
	if err != nil {
		b.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		b.t.Fatalf("%s %s: %s %s %v", method, path, resp.Status, answer, err)
	}
	if value != nil {
		if err := json.Unmarshal(answer, &struct{ Value any }{value}); err != nil {
			b.t.Fatalf("%s: %v", answer, err)
		}
	}
}

// run runs a script in the page and returns what it returns, as text.
func (b *browser) run(script string) string {
	b.t.Helper()
	var v any
	b.do("POST", "/execute/sync", map[string]any{"script": script, "args": []any{}}, &v)
	return fmt.Sprint(v)
}

// element finds one by its CSS selector.
func (b *browser) element(selector string) string {
	b.t.Helper()
	var v map[string]string
	b.do("POST", "/element", map[string]string{"using": "css selector", "value": selector}, &v)
	for _, id := range v {
		return "/element/" + id
	}
	return ""
}

func (b *browser) click(selector string) {
	b.t.Helper()
	b.do("POST", b.element(selector)+"/click", map[string]any{}, nil)
}

func (b *browser) write(selector, text string) {
	b.t.Helper()
	b.do("POST", b.element(selector)+"/value", map[string]string{"text": text}, nil)
}

// show opens g.
func (b *browser) show(g Graph) {
	b.t.Helper()
	file := filepath.Join(b.t.TempDir(), "page.html")
	f, err := os.Create(file)
	if err != nil {
		b.t.Fatal(err)
	}
	if err := HTML(f, g); err != nil {
		b.t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		b.t.Fatal(err)
	}
	b.do("POST", "/url", map[string]string{"url": "file://" + file}, nil)
}

// picture writes what is seen to the folder DRAW_PICTURES, if it is set: to be looked at.
func (b *browser) picture(name string) {
	b.t.Helper()
	dir := os.Getenv("DRAW_PICTURES")
	if dir == "" {
		return
	}
	var png string
	b.do("GET", "/screenshot", nil, &png)
	data, err := base64.StdEncoding.DecodeString(png)
	if err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name), data, 0o666); err != nil {
		b.t.Fatal(err)
	}
}

// wants compares what a script returns.
func (b *browser) wants(script, want string) {
	b.t.Helper()
	if got := b.run(script); got != want {
		b.t.Errorf("%s is %q, want %q", script, got, want)
	}
}

// quiet wants that the page has complained of nothing: a script that fails, a policy that forbids.
func (b *browser) quiet() {
	b.t.Helper()
	var log []struct{ Level, Message string }
	b.do("POST", "/se/log", map[string]string{"type": "browser"}, &log)
	for _, l := range log {
		b.t.Errorf("the page says: %s: %s", l.Level, l.Message)
	}
}

// TestPage uses the page as people do.
func TestPage(t *testing.T) {
	b := open(t)
	b.show(small())
	b.wants(`return document.querySelectorAll("[data-n]").length`, "6")
	t.Run("choose", func(t *testing.T) {
		b := &browser{t: t, base: b.base}
		b.click(`[data-n="3"]`)
		b.wants(`return [...document.querySelectorAll("#side ol a")].map(a => a.textContent).join(" > ")`, "example.com/app > github.com/a/y > github.com/b/z")
		b.wants(`return document.querySelectorAll(".e.way").length`, "2")
		b.wants(`return decodeURIComponent(location.hash)`, "#github.com/b/z")
		b.wants(`return [...document.querySelectorAll("#side ul")].map(u => u.children.length).join()`, "1,2")
		b.picture("chosen.png")
		b.click(`#side ul a`)
		b.wants(`return document.querySelector("#side h2").textContent`, "github.com/a/y v0.3.0")
		b.click(`.close`)
		b.wants(`return document.querySelector("#side").children.length + " " + document.querySelectorAll(".on,.way,.lit").length`, "0 0")
	})
	t.Run("search", func(t *testing.T) {
		b := &browser{t: t, base: b.base}
		b.write("#search", "github.com/a")
		b.wants(`return document.querySelector("#found").textContent + " " + document.querySelectorAll(".hit-by").length`, "2 found 2")
		b.write("#search", "\ue007") // Enter
		b.wants(`return document.querySelector("#side h2").textContent`, "github.com/a/x v1.2.0")
		b.write("#search", "\ue007")
		b.wants(`return document.querySelector("#side h2").textContent`, "github.com/a/y v0.3.0")
		b.write("#search", "zzz")
		b.wants(`return document.querySelector("#found").textContent`, "none-found")
		b.write("#search", "\ue00c") // Escape
		b.wants(`return document.querySelector("#search").value + document.querySelectorAll(".hit-by").length`, "0")
	})
	t.Run("fold", func(t *testing.T) {
		b := &browser{t: t, base: b.base}
		b.click("#fold")
		b.wants(`return document.querySelectorAll(".folded").length`, "1") // github.com/a; the others stand alone
		b.wants(`return [...document.querySelectorAll(".n")].filter(n => n.getBoundingClientRect().width > 0).length`, "4")
		b.click("#unfold")
		b.wants(`return [...document.querySelectorAll(".n")].filter(n => n.getBoundingClientRect().width > 0).length`, "6")
		b.click(".head")
		b.wants(`return document.querySelector(".head").getAttribute("aria-expanded")`, "false")
	})
	b.quiet()
}

// TestPageLarge searches, folds and draws all edges among 1,500 modules: everything must have an answer, and nothing overlap.
func TestPageLarge(t *testing.T) {
	b := open(t)
	g := random(1500, 7)
	b.show(g)
	b.picture("large.png")
	b.wants(`return document.querySelectorAll("[data-n]").length`, "1500")
	// Letters of 12 units: none smaller than 9 pixels, however large the graph is.
	b.wants(`return document.querySelector(".n .hit").getBoundingClientRect().height >= 22 * 0.75 - 0.1`, "true")
	b.click("#every")
	b.wants(`return [...document.querySelectorAll(".e.r")].filter(e => getComputedStyle(e).display == "none").length`, "0")
	b.click("#every")
	b.write("#search", strings.TrimPrefix(g.Nodes[1234].ID, g.Nodes[1234].Group[0]))
	b.write("#search", "\ue007")
	b.wants(`return document.querySelector("#side h2").textContent`, g.Nodes[1234].ID+" "+g.Nodes[1234].Sub)
	b.wants(`const v = document.querySelector("#view").getBoundingClientRect(), r = document.querySelector(".on").getBoundingClientRect(); return r.left >= v.left && r.right <= v.right && r.top >= v.top && r.bottom <= v.bottom`, "true")
	b.picture("large-found.png")
	b.click("#fold")
	b.wants(`const boxes = [...document.querySelectorAll(".card .box")].map(x => x.getBoundingClientRect());
		let bad = 0;
		boxes.forEach((a, i) => boxes.slice(0, i).forEach(b => { if (a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1) bad++; }));
		return bad`, "0")
	b.picture("large-folded.png")
	b.quiet()
}
