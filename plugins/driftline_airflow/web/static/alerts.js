// Alerts: the button that sends a test.
import { send, tell } from "./common.js";

for (const button of document.querySelectorAll("button[data-alert]"))
  button.addEventListener("click", async () => {
    const alert = button.dataset.alert;
    button.disabled = true;
    try {
      await send("POST", `alerts/${encodeURIComponent(alert)}/test`);
      tell(`${alert}: the test was sent.`);
    } catch (error) {
      tell(error.message);
    } finally {
      button.disabled = false;
    }
  });
