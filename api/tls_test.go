package api_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/roamlb/roamlb/api"
	"github.com/roamlb/roamlb/config"
	"github.com/roamlb/roamlb/internal/lab"
)

// authority signs certificates for a test.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t}
	a.key = newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return a
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// sign makes a certificate and its key, as PEM.
func (a *authority) sign(serial int64, names ...string) (cert, key []byte) {
	a.t.Helper()
	k := newKey(a.t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: names[0]}, DNSNames: names,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		NotBefore:   time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, k.Public(), a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		a.t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})
}

// Certificates are renewed while the daemon runs, and where certificates of
// clients are asked for nobody gets in without one.
func TestTLS(t *testing.T) {
	ca := newAuthority(t)
	dir := t.TempDir()
	write := func(name string, text []byte) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	cert, key := ca.sign(2, "lb.example")
	at := freePort(t)
	w := newWorld(t, "api: {listen: \""+at+"\", socket: \"\", tls: {cert: "+write("cert", cert)+", key: "+write("key", key)+", client_ca: "+write("ca", ca.pem)+"}}\n"+services)
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	serial := func(withCertificate bool) (int64, error) {
		conf := &tls.Config{RootCAs: pool, ServerName: "lb.example", MinVersion: tls.VersionTLS12}
		if withCertificate {
			c, k := ca.sign(9, "client")
			pair, err := tls.X509KeyPair(c, k)
			if err != nil {
				t.Fatal(err)
			}
			conf.Certificates = []tls.Certificate{pair}
		}
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: conf, DisableKeepAlives: true}}
		r, err := http.NewRequestWithContext(t.Context(), "GET", "https://"+at+"/v1/version", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+w.token)
		r.Host = "lb.example"
		response, err := client.Do(r)
		if err != nil {
			return 0, err
		}
		defer response.Body.Close()
		body, _ := io.ReadAll(response.Body)
		if response.StatusCode != 200 {
			t.Errorf("status %d: %s", response.StatusCode, body)
		}
		return response.TLS.PeerCertificates[0].SerialNumber.Int64(), nil
	}
	if got, err := serial(true); err != nil || got != 2 {
		t.Errorf("certificate %d, %v, want 2", got, err)
	}
	if _, err := serial(false); err == nil {
		t.Error("a client without a certificate got in")
	}
	cert, key = ca.sign(3, "lb.example")
	write("cert", cert)
	write("key", key)
	lab.WaitFor(t, 10*time.Second, "the new certificate is served", func() bool { got, err := serial(true); return err == nil && got == 3 })
	write("cert", []byte("no certificate"))
	time.Sleep(1100 * time.Millisecond) // the files are looked at once a second
	if got, err := serial(true); err != nil || got != 3 {
		t.Errorf("with a damaged file: certificate %d, %v, want the one before", got, err)
	}
}

// A token over plain TCP beyond loopback is everybody's: that has to be asked
// for.
func TestTCPBeyondLoopbackNeedsTLS(t *testing.T) {
	o := api.Options{File: config.Default(), Log: slog.New(slog.DiscardHandler)}
	o.File.API.Socket = ""
	o.File.API.Listen = netip.MustParseAddrPort("0.0.0.0:0")
	_, err := api.Listen(t.Context(), o)
	if err == nil || !strings.Contains(err.Error(), "insecure") {
		t.Errorf("error %v, want one that names api.insecure", err)
	}
}
