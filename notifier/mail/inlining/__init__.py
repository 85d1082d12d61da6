"""What moving rules from `<style>` into tags needs to know: selectors, stylesheets, tags, and which rule wins."""
