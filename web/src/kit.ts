// The parts of Bitrix24's interface kit that the pages use. Each is imported by its own file, so that a page loads only
// what it shows.
export { default as B24App } from "@bitrix24/b24ui-nuxt/components/App.vue";
export { default as B24Button } from "@bitrix24/b24ui-nuxt/components/Button.vue";
export { default as B24Checkbox } from "@bitrix24/b24ui-nuxt/components/Checkbox.vue";
export { default as B24FormField } from "@bitrix24/b24ui-nuxt/components/FormField.vue";
export { default as B24Input } from "@bitrix24/b24ui-nuxt/components/Input.vue";
export { default as B24Modal } from "@bitrix24/b24ui-nuxt/components/Modal.vue";
export { default as B24Select } from "@bitrix24/b24ui-nuxt/components/Select.vue";
export { default as B24Slideover } from "@bitrix24/b24ui-nuxt/components/Slideover.vue";
export { default as B24Switch } from "@bitrix24/b24ui-nuxt/components/Switch.vue";
export { useToast } from "@bitrix24/b24ui-nuxt/composables/useToast";
