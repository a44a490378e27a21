/** Style sheets are bundled beside the page's script; importing one has no value and no type. */
declare module '*.css';
