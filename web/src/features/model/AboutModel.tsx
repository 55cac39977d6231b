import { ProblemNote } from "../problem/ProblemNote";
import type { ModelView } from "./useModel";
import "./model.css";

/** What the loaded model can do, and how to get another one. */
export function AboutModel({ view: { model, share, isReady, problem } }: { view: ModelView }) {
  if (model === null) return <ProblemNote problem={problem} />;
  return (
    <section className="about-model" aria-labelledby="about-model">
      <h2 id="about-model">About this model</h2>
      {!isReady && (
        <p className="loading" role="status">
          Its weights are still loading{share !== null && `: ${Math.floor(100 * share)} % are read`}. Prompts you send now wait and start by themselves.
        </p>
      )}
      <p>
        {model.about}
        {model.knows.length > 0 && " A prompt far from what it knows gives the nearest picture it can make."}
      </p>
      <details>
        <summary>What it knows, and how to load another</summary>
        {model.knows.length > 0 && (
          <>
            <h3>It knows</h3>
            <ul className="knows">
              {model.knows.map((thing) => (
                <li key={thing}>{thing}</li>
              ))}
            </ul>
          </>
        )}
        <h3>Fine control</h3>
        <p className="quiet">
          End a prompt with <code>--seed 7</code> for the same picture again, <code>--steps 20</code> to stop earlier,{" "}
          <code>--no text</code> to leave something out, <code>--ar 3:2</code> for another shape.
        </p>
        <h3>Another model</h3>
        <p className="quiet">
          Stable Diffusion XL, FLUX or any model in diffusers layout: start the server with its folder or hub name.
        </p>
        <pre>
          <code>{model.load_another}</code>
        </pre>
        <p className="quiet">
          {model.name} · {model.native_width} × {model.native_height} px · {model.license}
        </p>
      </details>
    </section>
  );
}
