package daemon

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/roamlb/roamlb/balancer"
	"github.com/roamlb/roamlb/config"
	"github.com/roamlb/roamlb/nft"
	"github.com/roamlb/roamlb/store"
)

// lookAgain is how often the start looks whether the operator's rules are there.
const lookAgain = time.Second

// external reports whether the rules are the operator's.
func (d *Daemon) external() bool { return d.file.NFT == config.NFTExternal }

// installWhenReady is install, and where the rules are the operator's waits until
// they are there: the API answers meanwhile, and can print them. It returns nil
// when ctx ends.
func (d *Daemon) installWhenReady(ctx context.Context, next store.State) error {
	for {
		err := d.install(next)
		lacks, ok := errors.AsType[*nft.RulesError](err)
		if !ok {
			d.lacks.Store(nil)
			return err
		}
		text := lacks.Error()
		if was := d.lacks.Swap(&text); was == nil || *was != text {
			d.log.Error("waiting for the rules that \"roamlb ruleset --print\" prints", "lacks", lacks.Exactly())
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(lookAgain):
		}
	}
}

// require reports what the operator's rules lack for the state that the daemon
// begins with. That is kept at once: with other seeds the rules would be others.
func (d *Daemon) require(s *balancer.Snapshot, next store.State) error {
	if !d.external() {
		return nil
	}
	if d.store.State().Revision == 0 {
		pending, err := d.store.Prepare(next)
		if err != nil {
			return err
		}
		if err := d.purge(d.store.State()); err != nil {
			pending.Abort()
			return err
		}
		if err := pending.Commit(); err != nil && !errors.Is(err, store.ErrNotDurable) {
			return err
		}
	}
	return d.table.Require(d.compile(s))
}

// Rules is what the configuration needs of the operator's rules where they are
// the operator's, as a file for "nft -f"; it tells seeds. The error is nft's that
// there is no table where the state has not been read yet.
func (d *Daemon) Rules() (string, error) {
	s := d.snapshot.Load()
	if s == nil {
		return "", fmt.Errorf("print rules: %w", ErrDegraded)
	}
	var text strings.Builder
	err := nft.NewExternalCompiler(d.queues(), d.rules.Features()).Compile(s).Print(&text)
	return text.String(), err
}
