import "./style.css";
import { createApp } from "vue";
import App from "./App.vue";
import { dress } from "./colours";
import { router } from "./router";
import { preferred, speak } from "./words/language";

dress();
await speak(preferred());
createApp(App).use(router).mount("#app");
