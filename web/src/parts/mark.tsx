// The sign of roamlb: a client that moved, and its way to the backend that stayed.
export function Mark() {
  return (
    <svg class="mark" viewBox="0 0 32 32" aria-hidden="true">
      <path class="mark-old" d="M5 8c8 0 8 8 12 8" />
      <path class="mark-way" d="M5 24c8 0 8-8 12-8h9" />
      <circle class="mark-old-end" cx="5" cy="8" r="2.6" />
      <circle class="mark-client" cx="5" cy="24" r="3.2" />
      <circle class="mark-backend" cx="27" cy="16" r="3.6" />
    </svg>
  );
}
