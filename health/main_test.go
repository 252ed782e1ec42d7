package health

import (
	"testing"

	"github.com/roamlb/roamlb/internal/lab"
)

func TestMain(m *testing.M) { lab.Main(m) }
