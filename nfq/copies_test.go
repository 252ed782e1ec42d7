package nfq

import (
	"context"
	"errors"
	"testing"

	"github.com/roamlb/roamlb/balancer"
	"github.com/roamlb/roamlb/internal/lab"
)

func openCopies(t *testing.T, n *lab.Namespace) (*Copies, error) {
	t.Helper()
	var c *Copies
	err := n.Do(func() (err error) {
		c, err = OpenCopies(CopiesOptions{
			Group: balancer.LogGroup, Snapshot: func() *balancer.Snapshot { return nil },
			Facts: func([]balancer.Fact) {}, Now: func() int64 { return 42 }, Lost: func() {},
		})
		return err
	})
	return c, err
}

// Two daemons that share a group would each hear half of what the kernel does.
// Who ends gives it back.
func TestGroupHasOneOwner(t *testing.T) {
	n, err := lab.NewNamespace("copies")
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	for range 2 {
		first, err := openCopies(t, n)
		if err != nil {
			t.Fatal(err)
		}
		if second, err := openCopies(t, n); !errors.Is(err, ErrOwned) {
			t.Errorf("the second owner got %v, %v; want %v", second, err, ErrOwned)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- first.Run(ctx) }()
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		select {
		case <-first.Ended():
		default:
			t.Error("it has not ended")
		}
	}
}
