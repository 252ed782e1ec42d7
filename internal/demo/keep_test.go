package demo

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/roamlb/roamlb/internal/lab"
)

// keepEnv lets the small demo stay up.
const keepEnv = "ROAMLB_DEMO_KEEP"

// enterLab does what the command does; front is nil unless the demo stays up.
func enterLab() (front *os.File, err error) {
	var outside []*os.File
	if _, keep := os.LookupEnv(keepEnv); keep && !lab.Inside() {
		f, err := OpenFront()
		if err != nil {
			return nil, err
		}
		outside = append(outside, f)
	}
	if err := lab.Reexec(outside...); err != nil {
		return nil, err
	}
	if files := lab.TakeFiles(); len(files) > 0 {
		front = files[0]
	}
	return front, nil
}

// Whoever follows "make demo KEEP=1" to the dashboard must find it, with its
// token, and something that moves.
func TestKeepLetsBrowsersIn(t *testing.T) {
	t.Parallel()
	cmd, out, dir := demoProcess(t, "")
	cmd.Env = append(cmd.Env, keepEnv+"=1")
	seen := make(chan string, 1)
	cmd.Stdout = &trigger{text: []byte("kill -HUP"), seen: seen, buf: out}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	var said string
	select {
	case said = <-seen:
	case err := <-ended:
		t.Fatalf("the demo ended: %v\n%s", err, out)
	}
	url := regexp.MustCompile(`http://127\.0\.0\.1:\d+`).FindString(said)
	token := tokenPattern.FindString(said)
	var stats struct {
		Services []struct {
			Name  string
			Roams int
		}
	}
	roamed := func() bool {
		if err := getJSON(url+"/v1/stats", token, &stats); err != nil {
			t.Error(err)
			return true
		}
		n := 0
		for _, s := range stats.Services {
			if s.Roams > 0 && slices.Contains([]string{"vpn", "game", "tunnel"}, s.Name) {
				n++
			}
		}
		return n == 3
	}
	lab.WaitFor(t, time.Minute, "sessions of three services roam", roamed)
	if err := getJSON(url+"/v1/stats", "rlb_no", &stats); err == nil {
		t.Error("the API answers who has no token")
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Error(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("exit: %v, output:\n%s", err, out)
	}
	expectEmpty(t, dir)
}

// getJSON asks the API with a token.
func getJSON(url, token string, into any) error {
	request, err := http.NewRequest(http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+token)
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, response.Status)
	}
	return json.NewDecoder(response.Body).Decode(into)
}
