const greet = (name) => `Grüße, ${name}`;
export {
  greet
};
