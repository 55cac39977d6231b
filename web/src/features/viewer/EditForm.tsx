import { useId, useState, type FormEvent } from "react";

/** An instruction for a model that changes pictures as words tell. */
export function EditForm({ onEdit }: { onEdit: (instruction: string) => void }) {
  const id = useId();
  const [instruction, setInstruction] = useState("");

  function submit(event: FormEvent) {
    event.preventDefault();
    if (instruction.trim() !== "") onEdit(instruction);
  }

  return (
    <form className="edit" onSubmit={submit}>
      <label htmlFor={id}>Change this picture</label>
      <input
        id={id}
        value={instruction}
        placeholder="make it winter"
        enterKeyHint="go"
        onChange={(event) => setInstruction(event.target.value)}
      />
      <button>Change</button>
    </form>
  );
}
