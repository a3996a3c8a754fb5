/** Draws machines as points of WebGL2, one draw call a picture. Frames are uploaded as the worker laid them out. */

import { STATES } from "../protocol/states";
import { type MachineFrame, STRIDE } from "../stream/channel";
import type { Camera, Size } from "./camera";
import { COLOUR_BY, type ColourBy, KINDS, RAMP, RAMP_SPEED_M_PER_S, rgb, STATE_COLOURS, type Theme } from "./palette";
import { FRAGMENT, VERTEX } from "./shaders";

/** Length at which a machine is drawn to scale, m. */
const MACHINE_M = 2.8;
/** A machine far away is a dot: the closer together they are, the smaller. */
const SMALLEST_DOT_PX = 2;
const LARGEST_DOT_PX = 7;
const LARGEST_POINT_PX = 160;
/** From this size on a machine is a shape with a heading. */
export const SHAPE_FROM_PX = 13;
const FAULTED = STATES.indexOf("faulted");

/** How large a machine is drawn at a zoom where they are so far apart, px of the page. */
export function pointPx(pxPerM: number, apartPx: number): number {
  const dot = Math.min(SMALLEST_DOT_PX + apartPx / 5, LARGEST_DOT_PX);
  return Math.min(Math.max(dot + 3 * Math.min(pxPerM, 1), MACHINE_M * pxPerM), LARGEST_POINT_PX);
}

export interface Look {
  colourBy: ColourBy;
  /** A bit for each state that is shown, by code. */
  states: number;
  /** A bit for each class that is shown. */
  classes: number;
  outline: [number, number, number];
  theme: Theme;
}

const colours = {
  light: STATES.flatMap((state) => rgb(STATE_COLOURS.light[state])),
  dark: STATES.flatMap((state) => rgb(STATE_COLOURS.dark[state])),
};

/** No WebGL2, or none that works. */
export class NoGraphics extends Error {
  override name = "NoGraphics";
}

export class MachinesLayer {
  readonly #gl: WebGL2RenderingContext;
  #program: WebGLProgram | null = null;
  #uniforms = new Map<string, WebGLUniformLocation | null>();
  #count = 0;
  #anchorM: [number, number] = [0, 0];

  constructor(canvas: HTMLCanvasElement) {
    const gl = canvas.getContext("webgl2", { alpha: true, antialias: false, depth: false, premultipliedAlpha: true });
    if (gl === null) throw new NoGraphics("This browser has no WebGL2, or it is switched off.");
    this.#gl = gl;
    this.prepare();
  }

  /** Builds everything on the card; again after it was lost. */
  prepare(): void {
    const gl = this.#gl;
    this.#uniforms.clear();
    this.#program = linked(gl);
    gl.useProgram(this.#program);
    gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
    gl.bindVertexArray(gl.createVertexArray());
    const attributes: [number, number, boolean, number][] = [
      [2, gl.FLOAT, false, 0],
      [2, gl.FLOAT, false, 8],
      [4, gl.UNSIGNED_BYTE, true, 16],
      [4, gl.UNSIGNED_BYTE, true, 20],
    ];
    attributes.forEach(([size, type, isNormalised, at], index) => {
      gl.enableVertexAttribArray(index);
      gl.vertexAttribPointer(index, size, type, isNormalised, STRIDE, at);
    });
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    gl.uniform3fv(this.#at("ramp"), RAMP.flatMap(rgb));
    gl.uniform3fv(this.#at("kinds"), KINDS.flatMap(rgb));
    gl.uniform1f(this.#at("rampSpeed"), RAMP_SPEED_M_PER_S);
    this.#count = 0;
  }

  #at(name: string): WebGLUniformLocation | null {
    const known = this.#uniforms.get(name);
    if (known !== undefined) return known;
    const found = this.#program === null ? null : this.#gl.getUniformLocation(this.#program, name);
    this.#uniforms.set(name, found);
    return found;
  }

  upload(frame: MachineFrame | null): void {
    this.#count = frame?.count ?? 0;
    if (frame === null) return;
    this.#anchorM = frame.anchorM;
    const { ARRAY_BUFFER, STREAM_DRAW } = WebGL2RenderingContext;
    this.#gl.bufferData(ARRAY_BUFFER, new Uint8Array(frame.buffer, 0, frame.count * STRIDE), STREAM_DRAW);
  }

  draw(camera: Camera, size: Size, devicePx: number, pointPx: number, progress: number, look: Look): void {
    const gl = this.#gl;
    gl.viewport(0, 0, gl.drawingBufferWidth, gl.drawingBufferHeight);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT);
    if (this.#count === 0) return;
    gl.uniform2f(this.#at("fromMiddle"), this.#anchorM[0] - camera.x, this.#anchorM[1] - camera.y);
    gl.uniform2f(this.#at("toClip"), (2 * camera.pxPerM) / size.width, (2 * camera.pxPerM) / size.height);
    gl.uniform1f(this.#at("progress"), progress);
    gl.uniform1f(this.#at("pointPx"), pointPx * devicePx);
    gl.uniform1f(this.#at("shapeFrom"), SHAPE_FROM_PX * devicePx);
    gl.uniform1i(this.#at("colourBy"), COLOUR_BY.indexOf(look.colourBy));
    gl.uniform1ui(this.#at("classes"), look.classes >>> 0);
    gl.uniform3fv(this.#at("outline"), look.outline);
    gl.uniform3fv(this.#at("stateColours"), colours[look.theme]);
    const faulted = look.states & (1 << FAULTED);
    this.#drawStates(look.states & ~(1 << FAULTED));
    // Last, so that no neighbour covers what somebody has to look at.
    if (faulted !== 0) this.#drawStates(faulted);
  }

  #drawStates(states: number): void {
    this.#gl.uniform1ui(this.#at("states"), states >>> 0);
    this.#gl.drawArrays(this.#gl.POINTS, 0, this.#count);
  }
}

function linked(gl: WebGL2RenderingContext): WebGLProgram {
  const program = gl.createProgram();
  for (const [kind, source] of [
    [gl.VERTEX_SHADER, VERTEX],
    [gl.FRAGMENT_SHADER, FRAGMENT],
  ] as const) {
    const shader = gl.createShader(kind);
    if (shader === null) throw new NoGraphics("The graphics card is not ready.");
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS) && !gl.isContextLost()) {
      throw new NoGraphics(`The graphics card refuses a program: ${gl.getShaderInfoLog(shader)}`);
    }
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS) && !gl.isContextLost()) {
    throw new NoGraphics(`The graphics card refuses the programs: ${gl.getProgramInfoLog(program)}`);
  }
  return program;
}
