import "./style.css";
import { createApp } from "vue";
import App from "./App.vue";
import { useFrameToken } from "./api/client";
import { dress } from "./colours";
import { frame } from "./frame";
import { router } from "./router";
import { preferred, speak } from "./words/language";

dress();
if (frame !== null) useFrameToken(frame.token);
await speak(preferred());
createApp(App).use(router).mount("#app");
