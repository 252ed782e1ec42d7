package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"github.com/roamlb/roamlb/internal/demo"
	"github.com/roamlb/roamlb/internal/lab"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	lab.Reexec()
	err := demo.Run(ctx, demo.Options{Out: os.Stdout, Size: demo.Size{Sessions: 2000, Roams: 2, Stale: 2000, Takeovers: 2, Rate: 400, Traffic: 4 * time.Second},
		Serve: func(c string) *exec.Cmd {
			os.Link(c[:len(c)-4]+"log", fmt.Sprintf("/tmp/demohelper/log.%d", os.Getpid()))
			return exec.Command("/tmp/demohelper/roamlb", "serve", "--config", c)
		}})
	fmt.Println(err)
}
