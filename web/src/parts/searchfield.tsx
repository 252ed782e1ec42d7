// A field that narrows down what is shown. Its label is for who cannot see it.
interface Props {
  label: string;
  placeholder?: string;
  value: string;
  onValue: (value: string) => void;
}

export function SearchField({ label, placeholder = label, value, onValue }: Props) {
  return (
    <label class="inline-field">
      <span class="visually-hidden">{label}</span>
      <input
        type="search"
        placeholder={placeholder}
        value={value}
        onInput={(event) => {
          onValue(event.currentTarget.value);
        }}
      />
    </label>
  );
}
