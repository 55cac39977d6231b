import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./App";
import { wearTheme } from "./features/theme/theme";
import "./page.css";

wearTheme();

const page = document.getElementById("page");
if (page === null) throw new Error("index.html has lost its #page");
createRoot(page).render(
  <StrictMode>
    <App />
  </StrictMode>,
);
