package demo

import "time"

// summary ends the show.
func (s *screen) summary(took time.Duration) {
	broken := s.broken()
	s.blank()
	s.write(strong.of("%d claims shown, %d held.", len(s.claims), len(s.claims)-len(broken)), dim.of("  %s", span(took)))
	for _, text := range broken {
		s.mark(false, text)
	}
}
