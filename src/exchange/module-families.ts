import { provideModules } from '../nn/registry.js';

// Files may hold modules of these; they are loaded when one does.
provideModules(/^OnnxModel$/, () => import('../formats/onnx/onnx-model.js'));
provideModules(/^(Keras|ChannelsLast$)/, () => import('../keras/modules.js'));
provideModules(/^ImageClassifier$/, () => import('./image-classifier.js'));
