package doctor

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/http"
	"testing"
	"time"

	"github.com/goferry/goferry/internal/transport"
)

// between makes an authority that a signs for; issuer is where a's own certificate is to be had.
func (a *simCA) between(name, issuer string) *simCA {
	b := newSimCA(a.t, name, "Trusted Authority")
	template := *b.cert
	template.SerialNumber = big.NewInt(7)
	template.IssuingCertificateURL = nonEmpty(issuer)
	der, err := x509.CreateCertificate(rand.Reader, &template, a.cert, &b.key.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	if b.cert, err = x509.ParseCertificate(der); err != nil {
		a.t.Fatal(err)
	}
	return b
}

func nonEmpty(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}

// leafAt is a certificate of the mirror that says where its issuer's is, shown with more.
func (a *simCA) leafAt(issuer string, more ...*simCA) func(string) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(9), Subject: pkix.Name{CommonName: simHost}, DNSNames: []string{simHost},
		NotBefore: time.Now().AddDate(0, 0, -1), NotAfter: time.Now().AddDate(0, 0, 1), IssuingCertificateURL: nonEmpty(issuer)}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	cert := tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	for _, m := range more {
		cert.Certificate = append(cert.Certificate, m.cert.Raw)
	}
	return func(string) tls.Certificate { return cert }
}

// TestChain tells a server that leaves a certificate out from one whose authority nobody trusts.
func TestChain(t *testing.T) {
	const at = "http://pki.example.org/one.crt"
	const atTwo = "http://pki.example.org/two.crt"
	for _, tt := range []struct {
		name  string
		build func(n *internet) (cert func(string) tls.Certificate, files map[string][]byte)
		want  Answer // of the fact; empty for none
		who   string
	}{
		{name: "one is missing", want: Yes, who: "Trusted Authority, Between One", build: func(n *internet) (func(string) tls.Certificate, map[string][]byte) {
			one := n.ca.between("Between One", "")
			return one.leafAt(at), map[string][]byte{"/one.crt": one.cert.Raw}
		}},
		{name: "the upper one of two is missing, as PEM", want: Yes, who: "Trusted Authority, Between One", build: func(n *internet) (func(string) tls.Certificate, map[string][]byte) {
			one := n.ca.between("Between One", "")
			two := one.between("Between Two", at)
			return two.leafAt(atTwo, two), map[string][]byte{"/one.crt": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: one.cert.Raw})}
		}},
		{name: "both are missing", want: Yes, who: "Trusted Authority, Between Two", build: func(n *internet) (func(string) tls.Certificate, map[string][]byte) {
			one := n.ca.between("Between One", "")
			two := one.between("Between Two", at)
			return two.leafAt(atTwo), map[string][]byte{"/one.crt": one.cert.Raw, "/two.crt": two.cert.Raw}
		}},
		{name: "nobody has it", want: Unmeasured, build: func(n *internet) (func(string) tls.Certificate, map[string][]byte) {
			return n.ca.between("Between One", "").leafAt(at), nil
		}},
		{name: "an authority that nobody trusts", want: No, build: func(n *internet) (func(string) tls.Certificate, map[string][]byte) {
			other := newSimCA(n.t, "Other Root", "ACME")
			one := other.between("Between One", "http://pki.example.org/root.crt")
			return one.leafAt(at), map[string][]byte{"/one.crt": one.cert.Raw, "/root.crt": other.cert.Raw}
		}},
		{name: "a certificate of the same name that did not sign", want: No, build: func(n *internet) (func(string) tls.Certificate, map[string][]byte) {
			return newSimCA(n.t, "Between One", "ACME").between("Between One", "").leafAt(at), map[string][]byte{"/one.crt": n.ca.between("Between One", "").cert.Raw}
		}},
		{name: "it does not say where", build: func(n *internet) (func(string) tls.Certificate, map[string][]byte) {
			return n.ca.between("Between One", "").leafAt(""), nil
		}},
		{name: "it says this machine", build: func(n *internet) (func(string) tls.Certificate, map[string][]byte) {
			return n.ca.between("Between One", "").leafAt("http://127.0.0.1/one.crt"), nil
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			n := newInternet(t)
			cert, files := tt.build(n)
			n.replace(&simServer{cert: cert})
			n.truth["pki.example.org"] = addrs("45.77.3.1")
			n.serve("45.77.3.1:80", &simServer{plain: true, answer: func(w http.ResponseWriter, r *http.Request) {
				data, ok := files[r.URL.Path]
				if !ok {
					http.NotFound(w, r)
				}
				w.Write(data)
			}})
			x, target := n.exam("https://"+simHost, "")
			r := x.Reach(t.Context(), target)
			if r.Verdict != VerdictTLSUntrusted || r.Op != transport.OpTLS {
				t.Fatalf("verdict %s\n%s", r.Verdict, showFacts(r.Facts))
			}
			if got := answerOf(r.Facts, factLacks); got != tt.want {
				t.Errorf("missing: %q, want %q", got, tt.want)
			}
			o := networkCheck(t.Context(), x)
			textsFit(t, o.Findings)
			f := o.Findings[0]
			if want := map[bool]string{true: fixChain, false: fixTrust}[tt.want == Yes]; f.Fixes[0].Code != want || f.Args["Missing"] != tt.who {
				t.Errorf("missing %q, fixes %+v, want %s", f.Args["Missing"], f.Fixes, want)
			}
		})
	}
}
