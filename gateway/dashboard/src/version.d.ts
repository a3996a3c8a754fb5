/** Version of this page, which is that of the workspace; put in by the build. */
declare const __VERSION__: string;
