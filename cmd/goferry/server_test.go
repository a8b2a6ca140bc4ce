package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// makeCert writes a certificate for 127.0.0.1 and its key, and returns the files and a pool that
// trusts it.
func makeCert(t *testing.T, dir string) (certFile, keyFile string, roots *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "goferry test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: pkcs8}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	roots = x509.NewCertPool()
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots.AddCert(cert)
	return certFile, keyFile, roots
}

// TestServeTLS serves from certificate files, over HTTP/2 and HTTP/1.1, to the go command too.
func TestServeTLS(t *testing.T) {
	r := newRig(t)
	r.up.AddRandom("example.com/m", "v1.0.0", 50000)
	certFile, keyFile, roots := makeCert(t, r.work)
	s := r.serve(t, "--tls-cert", certFile, "--tls-key", keyFile)
	for want, protocols := range map[string]func(*http.Protocols){
		"HTTP/2.0": func(p *http.Protocols) { p.SetHTTP2(true) },
		"HTTP/1.1": func(p *http.Protocols) { p.SetHTTP1(true) },
	} {
		var p http.Protocols
		protocols(&p)
		tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, Protocols: &p}
		t.Cleanup(tr.CloseIdleConnections)
		resp, body, err := fetchAll(t, &http.Client{Transport: tr}, s.url+"/example.com/m/@v/v1.0.0.zip")
		if err != nil || resp.StatusCode != http.StatusOK || resp.Proto != want || len(body) < 50000 {
			t.Errorf("%s: got %v %v, %d bytes, error %v", want, resp.Proto, resp.Status, len(body), err)
		}
	}
	if resp, _, err := fetchAll(t, client(t), "http"+s.url[len("https"):]+"/-/healthz"); err != nil || resp.StatusCode != http.StatusBadRequest {
		t.Errorf("plain HTTP to the TLS port: %v, %v", resp, err)
	}
	cmd := r.command("go", "mod", "download", "example.com/m@v1.0.0")
	cmd.Env = r.environ("GOPROXY="+s.url, "SSL_CERT_FILE="+certFile)
	if out, errs, code := finish(t, cmd); code != 0 {
		t.Errorf("the go command: exit code %d\n%s%s", code, out, errs)
	}
	s.quit(t)
}

// TestGracefulStop interrupts the server in the midst of an answer, which comes to its end.
func TestGracefulStop(t *testing.T) {
	up, want, release := bigUpstream(t)
	r := rigFor(t, up)
	s := r.serve(t)
	body, first, err := open(t.Context(), client(t), s.url+bigZip)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	s.interrupt(t)
	for { // until it takes no new connections
		conn, err := net.Dial("tcp", s.url[len("http://"):])
		if err != nil {
			break
		}
		conn.Close()
	}
	select {
	case <-s.ended:
		t.Fatalf("the server did not wait for the answer:\n%s", s.log.all())
	default:
	}
	release()
	rest, err := io.ReadAll(body)
	if err != nil || !bytes.Equal(append(first, rest...), want) {
		t.Errorf("the answer was cut off: %d of %d bytes, %v", len(rest)+1, len(want), err)
	}
	<-s.ended
	if code := s.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("serve ended with %d:\n%s", code, s.log.all())
	}
	if out, _ := r.must(t, "goferry", "cache", "verify"); !bytes.Contains([]byte(out), []byte(" 1 good, 0 bad")) {
		t.Errorf("verify says %s", out)
	}
}

// TestStopHasAnEnd interrupts the server while an answer hangs: after the time that is set it is cut off.
func TestStopHasAnEnd(t *testing.T) {
	up, _, release := bigUpstream(t)
	defer release()
	r := rigFor(t, up)
	s := r.serve(t, "--shutdown-timeout", "100ms")
	body, _, err := open(t.Context(), client(t), s.url+bigZip)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	s.interrupt(t)
	<-s.ended
	if _, err := io.ReadAll(body); err == nil {
		t.Error("the answer that was cut off ends as if it were whole")
	}
	if code := s.cmd.ProcessState.ExitCode(); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	s.says(t, `(?m)^goferry: answers were cut off, .* 100ms after the stop$`)
	s.says(t, `(?m)^goferry: hint: `)
}

// TestKilledLeftovers kills a server that has half a file: the next one removes the half.
func TestKilledLeftovers(t *testing.T) {
	up, want, release := bigUpstream(t)
	r := rigFor(t, up)
	s := r.serve(t)
	body, _, err := open(t.Context(), client(t), s.url+bigZip)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	s.kill()
	spool := filepath.Join(r.cache(), ".goferry", "spool")
	if left := spoolFiles(t, spool); len(left) == 0 {
		t.Fatal("nothing is left of the killed server, so there is nothing to sweep")
	}
	if _, err := os.Stat(filepath.Join(r.cache(), filepath.FromSlash(bigZip))); err == nil {
		t.Error("the half is in the cache")
	}
	release()
	s = r.serve(t)
	s.says(t, `removing leftovers of a dead process`)
	_, got, err := fetchAll(t, client(t), s.url+bigZip)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("after the restart: %d of %d bytes, %v", len(got), len(want), err)
	}
	s.quit(t)
	if left := spoolFiles(t, spool); len(left) != 0 {
		t.Errorf("left in the spool: %v", left)
	}
}

// spoolFiles lists all files and folders in the spool.
func spoolFiles(t *testing.T, dir string) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		if err == nil && name != dir {
			files = append(files, name)
		}
		return err
	})
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return files
}
