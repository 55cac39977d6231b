/** Save the file that `load` brings under a name; where it cannot be had, the one at `address`. */
export async function saveFile(load: () => Promise<Blob>, name: string, address: string): Promise<void> {
  const blob = await load().catch(() => null);
  const link = document.createElement("a");
  link.href = blob === null ? address : URL.createObjectURL(blob);
  link.download = name;
  link.click();
  if (blob !== null) setTimeout(() => URL.revokeObjectURL(link.href), 60_000); // the browser has read it by then
}
