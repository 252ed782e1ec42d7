// Package suite holds roamlb's data-plane tests: the program itself, in a
// network of namespaces, with real packets and the real kernel. Each test says
// what a user would lose if it failed.
//
// ROAMLB_SCALE scales the counts (1 as they stand), ROAMLB_LONG runs those that
// take long in full. ROAMLB_BIN names a program that is built already;
// ROAMLB_RACE builds it with the race detector. ROAMLB_DATAPATH=kernel gives
// services datapath kernel.
package suite
