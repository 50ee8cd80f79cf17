import "./style.css";
import kit from "@bitrix24/b24ui-nuxt/vue-plugin";
import { createApp } from "vue";
import App from "./App.vue";
import { dress } from "./colours";
import { router } from "./router";
import { preferred, speak } from "./words/language";

dress();
await speak(preferred());
createApp(App).use(router).use(kit).mount("#app");
